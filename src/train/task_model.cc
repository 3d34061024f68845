#include "train/task_model.h"

#include <functional>

#include "eval/answers.h"
#include "model/prompts.h"
#include "train/forward_all.h"
#include "train/text_examples.h"

namespace penjing::train {

namespace {

using Rows = TaskModel::Rows;
using Run = std::function<at::Tensor(const at::Tensor& hidden, const PackedBatch& batch)>;

// Logits of every token of each window, [tokens, 2].
Rows read_windows(const Network& network, const ForwardContext& context,
                  const std::vector<AnswerWindow>& windows) {
  std::vector<Sequence> sequences;
  for (const AnswerWindow& window : windows) sequences.push_back({window.ids, window.types});
  std::vector<const Sequence*> pointers;
  for (const Sequence& sequence : sequences) pointers.push_back(&sequence);
  Rows rows;
  forward_all(network, context, pointers, kEvaluationTokens,
              [&](int64_t, const PackedBatch& batch, const at::Tensor& hidden) {
                const at::Tensor logits =
                    run_head(network.model->description, network.parameters, HeadKind::kQuestionAnswering,
                             hidden, batch, at::Tensor(), context)
                        .to(at::kCPU, at::kFloat)
                        .contiguous();
                const float* row = logits.data_ptr<float>();
                for (int64_t s = 0; s < batch.num_sequences(); ++s) {
                  const int64_t numbers = 2 * batch.length(s);
                  rows.emplace_back(row, row + numbers);
                  row += numbers;
                }
              });
  return rows;
}

// One row of `run`'s output a sequence.
Rows run_all(const Network& network, const ForwardContext& context, const TextExamples& texts,
             const Run& run) {
  std::vector<const Sequence*> sequences;
  for (int64_t i = 0; i < texts.size(); ++i) sequences.push_back(&texts[i]);
  Rows rows;
  forward_all(network, context, sequences, kEvaluationTokens,
              [&](int64_t, const PackedBatch& batch, const at::Tensor& hidden) {
                const at::Tensor values = run(hidden, batch).to(at::kCPU, at::kFloat).contiguous();
                const float* row = values.data_ptr<float>();
                for (int64_t i = 0; i < values.size(0); ++i, row += values.size(1))
                  rows.emplace_back(row, row + values.size(1));
              });
  return rows;
}

}  // namespace

TaskModel make_task_model(const Network& network, const Tokenizer& tokenizer, const ForwardContext& context,
                          int64_t max_length, ThreadPool& pool) {
  TaskModel model;
  ForwardContext quiet = context;
  quiet.training = false;
  quiet.tap = nullptr;
  const Description& d = network.model->description;
  model.labels = network.model->id2label;
  if (d.find_head(HeadKind::kQuestionAnswering) != nullptr) {
    model.tokenizer = &tokenizer;
    model.max_length = max_length;
    model.answers = read_trained_answers(network.model->config);
    model.read_windows = [&network, quiet](const std::vector<AnswerWindow>& windows) {
      return read_windows(network, quiet, windows);
    };
  } else if (d.find_head(HeadKind::kSequenceClassifier) != nullptr) {
    model.classify = [&network, &tokenizer, quiet, max_length, &pool](const std::vector<std::string>& texts,
                                                                      const std::vector<std::string>& pairs) {
      return run_all(network, quiet, TextExamples(tokenizer, pool, texts, pairs, max_length),
                     [&](const at::Tensor& hidden, const PackedBatch& batch) {
                       return run_head(network.model->description, network.parameters,
                                       HeadKind::kSequenceClassifier, hidden, batch, at::Tensor(), quiet);
                     });
    };
  } else {
    const auto embed_as = [&network, &tokenizer, quiet, max_length, &pool](TextRole role) {
      return [&network, &tokenizer, quiet, max_length, &pool, role](const std::vector<std::string>& texts) {
        const std::string prompt = prompt_for(network.model->sentence, role);
        return run_all(network, quiet,
                       TextExamples(tokenizer, pool, texts, {}, max_length, std::span(&prompt, 1)),
                       [&](const at::Tensor& hidden, const PackedBatch& batch) {
                         return embed_sentences(*network.model, network.parameters, hidden, batch, quiet);
                       });
      };
    };
    model.embed = embed_as(TextRole::kText);
    model.embed_queries = embed_as(TextRole::kQuery);
    model.embed_documents = embed_as(TextRole::kDocument);
  }
  return model;
}

}  // namespace penjing::train
