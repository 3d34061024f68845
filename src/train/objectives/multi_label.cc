// multi-label: texts (or pairs) with any number of labels: one logit a label, binary cross-entropy, the mean
// over the labels, as transformers trains problem_type "multi_label_classification". Class weights multiply
// the loss where a label is there ("balanced": texts without it / texts with it). Scored as the task
// multi-label of eval/ does.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "data/dataset.h"
#include "train/losses.h"
#include "train/new_head.h"
#include "train/objective_params.h"
#include "train/task_model.h"
#include "train/text_examples.h"

namespace penjing::train {

namespace {

Dataset read(const ObjectiveInput& input, const std::string& split) {
  return read_dataset(find_split(input.data.data, split), input.data.columns, EmptyLabels::kAllowed);
}

class MultiLabel final : public Objective {
 public:
  MultiLabel(const Tokenizer& tokenizer, const ObjectiveInput& input, const Dataset& data,
             const std::vector<std::string>& classes)
      : tokenizer_(tokenizer),
        input_(input),
        file_(data.file),
        reading_(data.reading),
        classes_(classes),
        texts_(tokenizer, *input.pool, texts_of(data), pairs_of(data), input.max_length),
        counts_(classes.size()) {
    std::map<std::string, std::size_t> numbers;
    for (std::size_t i = 0; i < classes.size(); ++i) numbers[classes[i]] = i;
    for (const Example& example : data.examples) {
      std::vector<std::size_t>& labels = labels_.emplace_back();
      for (const std::string& label : labels_of(data, example)) {
        labels.push_back(numbers.at(label));
        ++counts_[labels.back()];
      }
      without_ += labels.empty() ? 1 : 0;
    }
    std::vector<float> balanced;
    for (const int64_t count : counts_)
      balanced.push_back(count == 0 ? 1.0f
                                    : static_cast<float>(num_examples() - count) / static_cast<float>(count));
    ObjectiveParams params(input.params);
    weights_ = params.class_weights(balanced);
    params.refuse_others();
  }

  int64_t num_examples() const override { return texts_.size(); }
  std::span<const Sequence> sequences(int64_t example) const override { return texts_.one(example); }
  std::string target(int64_t example) const override {
    std::string names;
    for (const std::size_t label : labels_[static_cast<std::size_t>(example)])
      names += classes_[label] + "\n";
    return names;
  }

  LossSum loss(const Network& network, const ForwardContext& context, std::span<const int64_t> examples,
               int64_t) const override {
    std::vector<const Sequence*> sequences;
    at::Tensor targets =
        at::zeros({static_cast<int64_t>(examples.size()), static_cast<int64_t>(classes_.size())}, at::kFloat);
    auto target = targets.accessor<float, 2>();
    for (std::size_t row = 0; row < examples.size(); ++row) {
      sequences.push_back(&texts_[examples[row]]);
      for (const std::size_t label : labels_[static_cast<std::size_t>(examples[row])])
        target[static_cast<int64_t>(row)][static_cast<int64_t>(label)] = 1;
    }
    const PackedBatch batch = pack(sequences, {examples.begin(), examples.end()}, network.device());
    const at::Tensor logits =
        run_head(network.model->description, network.parameters, HeadKind::kSequenceClassifier,
                 network.encoder->forward(batch, context), batch, at::Tensor(), context);
    const at::Tensor weights = weights_.empty() ? at::Tensor() : at::tensor(weights_, at::kFloat);
    return {multi_label_cross_entropy(logits, targets, weights), {}};
  }

  TaskResult evaluate(const Network& network, const ForwardContext& context) const override {
    TaskInput input = input_.data;
    input.split = input_.eval_split;
    return find_task("multi-label")
        ->run(make_task_model(network, tokenizer_, context, input_.max_length, *input_.pool), input);
  }
  bool has_evaluation() const override { return !input_.eval_split.empty(); }

  std::string summary() const override {
    std::string text = fmt::format("{}: {} examples, {} without a label ({})\nlabels:", file_.string(),
                                   num_examples(), without_, reading_);
    const std::size_t shown = std::min<std::size_t>(classes_.size(), 20);
    for (std::size_t i = 0; i < shown; ++i) text += fmt::format(" {} {}", classes_[i], counts_[i]);
    if (shown < classes_.size()) text += fmt::format(" and {} more", classes_.size() - shown);
    return text + "\n" + texts_.describe_lengths(input_.max_length) + "\n";
  }

 private:
  const Tokenizer& tokenizer_;
  ObjectiveInput input_;
  std::filesystem::path file_;
  std::string reading_;
  std::vector<std::string> classes_;
  TextExamples texts_;
  std::vector<std::vector<std::size_t>> labels_;
  std::vector<int64_t> counts_;
  std::vector<float> weights_;
  int64_t without_ = 0;
};

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  Dataset data = read(input, input.train_split);
  if (input.data.limit > 0 && data.examples.size() > input.data.limit) data.examples.resize(input.data.limit);
  std::vector<std::string> classes;
  const auto add = [&](const Dataset& from) {
    for (const Example& example : from.examples) {
      for (std::string& label : labels_of(from, example)) classes.push_back(std::move(label));
    }
  };
  add(data);
  // A label that the model does not have cannot be scored.
  if (!input.eval_split.empty()) add(read(input, input.eval_split));
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  if (classes.empty()) fail(ErrorKind::kInput, "{}: no text has a label", data.file.string());
  give_head(model, "ForSequenceClassification", classes, "multi_label_classification", input.seed);
  return std::make_unique<MultiLabel>(tokenizer, input, data, classes);
}

}  // namespace

extern const ObjectiveKind multi_label_objective;
const ObjectiveKind multi_label_objective = {"multi-label", "multi_label", "any number of labels a text",
                                             make};

}  // namespace penjing::train
