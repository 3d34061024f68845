#include "train/task_model.h"

#include <functional>

#include "train/forward_all.h"
#include "train/text_examples.h"

namespace penjing::train {

namespace {

using Rows = TaskModel::Rows;
using Run = std::function<at::Tensor(const at::Tensor& hidden, const PackedBatch& batch)>;

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
  if (d.find_head(HeadKind::kSequenceClassifier) != nullptr) {
    model.classify = [&network, &tokenizer, quiet, max_length, &pool](const std::vector<std::string>& texts,
                                                                      const std::vector<std::string>& pairs) {
      return run_all(network, quiet, TextExamples(tokenizer, pool, texts, pairs, max_length),
                     [&](const at::Tensor& hidden, const PackedBatch& batch) {
                       return run_head(network.model->description, network.parameters,
                                       HeadKind::kSequenceClassifier, hidden, batch, at::Tensor(), quiet);
                     });
    };
  } else {
    model.embed = [&network, &tokenizer, quiet, max_length, &pool](const std::vector<std::string>& texts) {
      return run_all(network, quiet, TextExamples(tokenizer, pool, texts, {}, max_length),
                     [&](const at::Tensor& hidden, const PackedBatch& batch) {
                       return embed_sentences(*network.model, network.parameters, hidden, batch, quiet);
                     });
    };
  }
  return model;
}

}  // namespace penjing::train
