// A score of a text or of a pair of texts (STS-B): one output, mean squared error, as transformers trains
// problem_type "regression"; or, for rankers (cross-encoders), binary cross-entropy with the score in [0, 1]
// as the truth ("loss": "bce").
#include <algorithm>

#include "base/error.h"
#include "data/dataset.h"
#include "train/new_head.h"
#include "train/task_model.h"
#include "train/text_examples.h"

namespace penjing::train {

namespace {

class Regression final : public Objective {
 public:
  Regression(const Tokenizer& tokenizer, const ObjectiveInput& input, const Dataset& data)
      : tokenizer_(tokenizer),
        input_(input),
        reading_(data.reading),
        file_(data.file),
        texts_(tokenizer, *input.pool, texts_of(data), pairs_of(data), input.max_length) {
    for (const Example& example : data.examples)
      targets_.push_back(static_cast<float>(score_of(data, example)));
    const std::string loss =
        input.params.contains("loss") ? input.params.find("loss")->as_string("loss") : "mse";
    if (loss != "mse" && loss != "bce") fail(ErrorKind::kInput, "loss \"{}\"; there are mse and bce", loss);
    binary_ = loss == "bce";
    const auto [low, high] = std::minmax_element(targets_.begin(), targets_.end());
    if (binary_ && (*low < 0 || *high > 1)) {
      fail(ErrorKind::kInput, "{}: scores from {} to {}; the loss bce wants 0 to 1", file_.string(), *low,
           *high);
    }
  }

  int64_t num_examples() const override { return texts_.size(); }
  std::span<const Sequence> sequences(int64_t example) const override { return texts_.one(example); }
  std::string target(int64_t example) const override { return fmt::format("{}", targets_[example]); }

  LossSum loss(const Network& network, const ForwardContext& context, std::span<const int64_t> examples,
               int64_t) const override {
    std::vector<const Sequence*> sequences;
    std::vector<float> targets;
    for (const int64_t i : examples) {
      sequences.push_back(&texts_[i]);
      targets.push_back(targets_[i]);
    }
    const PackedBatch batch = pack(sequences, {examples.begin(), examples.end()}, network.device());
    const at::Tensor scores =
        run_head(network.model->description, network.parameters, HeadKind::kSequenceClassifier,
                 network.encoder->forward(batch, context), batch, at::Tensor(), context)
            .squeeze(1);
    const at::Tensor truth = at::tensor(targets, at::kFloat).to(scores.device());
    return {binary_ ? at::binary_cross_entropy_with_logits(scores, truth, {}, {}, at::Reduction::Sum)
                    : at::mse_loss(scores, truth, at::Reduction::Sum),
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
    const auto [low, high] = std::minmax_element(targets_.begin(), targets_.end());
    return fmt::format("{}: {} examples ({})\nscores from {} to {}\n{}\n", file_.string(), num_examples(),
                       reading_, *low, *high, texts_.describe_lengths(input_.max_length));
  }

 private:
  const Tokenizer& tokenizer_;
  ObjectiveInput input_;
  std::string reading_;
  std::filesystem::path file_;
  TextExamples texts_;
  std::vector<float> targets_;
  bool binary_ = false;
};

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  Dataset data = read_dataset(find_split(input.data.data, input.train_split), input.data.columns);
  if (input.data.limit > 0 && data.examples.size() > input.data.limit) data.examples.resize(input.data.limit);
  if (data.examples.empty()) fail(ErrorKind::kInput, "{}: no examples", data.file.string());
  give_head(model, "ForSequenceClassification", {"LABEL_0"}, "regression", input.seed);
  return std::make_unique<Regression>(tokenizer, input, data);
}

}  // namespace

extern const ObjectiveKind regression_objective;
const ObjectiveKind regression_objective = {"regression", "pair-regression stsb",
                                            "scores of texts or of pairs of texts", make};

}  // namespace penjing::train
