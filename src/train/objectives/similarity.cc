// similarity: pairs of texts with a score of likeness become embeddings whose cosine follows the score:
// CoSENT (their order), or the squared error of the cosine from the score scaled to [0, 1]. Scored as the
// task stsb of eval/ does.
#include <algorithm>

#include "base/error.h"
#include "data/dataset.h"
#include "model/prompts.h"
#include "train/chunked_loss.h"
#include "train/losses.h"
#include "train/matryoshka.h"
#include "train/objective_params.h"
#include "train/sentence_encoder.h"
#include "train/task_model.h"
#include "train/text_examples.h"

namespace penjing::train {

namespace {

class Similarity final : public Objective {
 public:
  Similarity(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input, const Dataset& data)
      : tokenizer_(tokenizer), input_(input), file_(data.file), reading_(data.reading) {
    ObjectiveParams params(input.params);
    cosent_ = params.word("loss", {"cosent", "cosine"}) == "cosent";
    if (cosent_) scale_ = params.number("scale", 20, 1e-3, 1e4);
    chunk_tokens_ = params.integer("chunk_tokens", 4096, 1, 1 << 30);
    matryoshka_ = read_matryoshka(params.text("matryoshka", ""), params.text("matryoshka_weights", ""));
    make_sentence_encoder(model, params, input.max_length, input.seed);
    params.refuse_others();
    require_dimensions(matryoshka_, embedding_width(model));
    std::vector<std::string> texts;
    for (const Example& example : data.examples) {
      texts.push_back(example.text);
      texts.push_back(example.pair);
      scores_.push_back(score_of(data, example));
    }
    const std::string prompt = prompt_for(model.sentence, TextRole::kText);
    const TextExamples encoded(tokenizer, *input.pool, texts, {}, input.max_length, std::span(&prompt, 1));
    truncated_ = encoded.num_truncated();
    for (int64_t i = 0; i < encoded.size(); ++i) sequences_.push_back(encoded[i]);
    const auto [low, high] = std::minmax_element(scores_.begin(), scores_.end());
    low_ = *low;
    high_ = *high;
    if (!(low_ < high_)) fail(ErrorKind::kInput, "{}: every score is {}", file_.string(), low_);
  }

  int64_t num_examples() const override { return static_cast<int64_t>(scores_.size()); }
  std::span<const Sequence> sequences(int64_t example) const override {
    return {sequences_.data() + 2 * example, 2};
  }
  std::string target(int64_t example) const override { return fmt::format("{}", scores_[example]); }
  bool is_sum() const override { return !cosent_; }

  LossSum loss(const Network& network, const ForwardContext& context, std::span<const int64_t> examples,
               int64_t) const override {
    std::vector<const Sequence*> sequences;
    std::vector<int64_t> samples;
    std::vector<double> wanted;
    for (const int64_t column : {0, 1}) {
      for (const int64_t i : examples) {
        sequences.push_back(&sequences_[static_cast<std::size_t>(2 * i + column)]);
        samples.push_back(2 * i + column);
      }
    }
    for (const int64_t i : examples)
      wanted.push_back((scores_[static_cast<std::size_t>(i)] - low_) / (high_ - low_));
    const auto n = static_cast<int64_t>(examples.size());
    return {embedding_loss(
                network, context, sequences, samples, chunk_tokens_,
                at_dimensions(matryoshka_, has_unit_embeddings(*network.model),
                              [&](const at::Tensor& rows) {
                                const at::Tensor a = rows.narrow(0, 0, n), b = rows.narrow(0, n, n);
                                const at::Tensor truth = at::tensor(wanted, at::kFloat).to(rows.device());
                                return cosent_ ? cosent(a, b, truth, scale_) : cosine_error(a, b, truth);
                              })),
            {}};
  }

  TaskResult evaluate(const Network& network, const ForwardContext& context) const override {
    TaskInput input = input_.data;
    input.split = input_.eval_split;
    return find_task("stsb")->run(
        make_task_model(network, tokenizer_, context, input_.max_length, *input_.pool), input);
  }
  bool has_evaluation() const override { return !input_.eval_split.empty(); }

  std::string summary() const override {
    return fmt::format("{}: {} pairs ({})\nscores from {} to {}\n{}\n", file_.string(), num_examples(),
                       reading_, low_, high_, describe_lengths(sequences_, truncated_, input_.max_length));
  }

 private:
  const Tokenizer& tokenizer_;
  ObjectiveInput input_;
  std::filesystem::path file_;
  std::string reading_;
  std::vector<Sequence> sequences_;  // two an example
  std::vector<double> scores_;
  double low_ = 0, high_ = 1, scale_ = 20;
  bool cosent_ = true;
  Matryoshka matryoshka_;
  int64_t chunk_tokens_ = 0, truncated_ = 0;
};

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  Dataset data = read_dataset(find_split(input.data.data, input.train_split), input.data.columns);
  if (!data.pairs)
    fail(ErrorKind::kInput, "{}: wanted pairs of texts ({})", data.file.string(), data.reading);
  if (input.data.limit > 0 && data.examples.size() > input.data.limit) data.examples.resize(input.data.limit);
  return std::make_unique<Similarity>(model, tokenizer, input, data);
}

}  // namespace

extern const ObjectiveKind similarity_objective;
const ObjectiveKind similarity_objective = {
    "similarity", "", "pairs with a score of likeness: embeddings whose cosine follows it", make};

}  // namespace penjing::train
