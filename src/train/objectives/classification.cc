// Classes of texts or of pairs of texts: softmax cross-entropy on the head that reads the first token. Class
// weights
// ("balanced": n / (classes * count), as in scikit-learn; or one number a class) and label smoothing (Szegedy
// et al. 2016) as torch.nn.functional.cross_entropy defines them: weighted losses are divided by the sum of
// their weights.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/parse.h"
#include "data/dataset.h"
#include "train/new_head.h"
#include "train/objective_params.h"
#include "train/task_model.h"
#include "train/text_examples.h"

namespace penjing::train {

namespace {

// The classes that occur, numbers by value and before words.
std::vector<std::string> classes_of(const Dataset& data) {
  std::map<std::string, int> seen;
  for (const Example& example : data.examples) ++seen[example.label];
  std::vector<std::string> classes;
  for (const auto& [label, count] : seen) classes.push_back(label);
  std::stable_sort(classes.begin(), classes.end(), [](const std::string& a, const std::string& b) {
    const auto x = as_number(a), y = as_number(b);
    if (x && y) return *x < *y;
    return x.has_value() && !y.has_value();
  });
  return classes;
}

class Classification final : public Objective {
 public:
  Classification(const Tokenizer& tokenizer, const ObjectiveInput& input, Dataset data,
                 const std::vector<std::string>& classes, const Task* task)
      : tokenizer_(tokenizer),
        input_(input),
        task_(task),
        reading_(data.reading),
        file_(data.file),
        texts_(tokenizer, *input.pool, texts_of(data), pairs_of(data), input.max_length),
        classes_(classes) {
    std::map<std::string, int> numbers;
    for (std::size_t i = 0; i < classes.size(); ++i) numbers[classes[i]] = static_cast<int>(i);
    counts_.resize(classes.size());
    for (const Example& example : data.examples) {
      targets_.push_back(numbers.at(example.label));
      ++counts_[targets_.back()];
    }
    ObjectiveParams params(input.params);
    smoothing_ = params.number("label_smoothing", 0, 0, 0.999);
    weights_ = params.class_weights(balanced_weights(counts_));
    params.refuse_others();
  }

  int64_t num_examples() const override { return texts_.size(); }
  int64_t class_of(int64_t example) const override { return targets_[example]; }
  std::span<const Sequence> sequences(int64_t example) const override { return texts_.one(example); }
  std::string target(int64_t example) const override { return classes_[targets_[example]]; }
  double weight(int64_t example) const override { return weights_.empty() ? 1 : weights_[targets_[example]]; }

  LossSum loss(const Network& network, const ForwardContext& context, std::span<const int64_t> examples,
               int64_t) const override {
    std::vector<const Sequence*> sequences;
    std::vector<int64_t> targets;
    for (const int64_t i : examples) {
      sequences.push_back(&texts_[i]);
      targets.push_back(targets_[i]);
    }
    const PackedBatch batch = pack(sequences, {examples.begin(), examples.end()}, network.device());
    const at::Tensor logits =
        run_head(network.model->description, network.parameters, HeadKind::kSequenceClassifier,
                 network.encoder->forward(batch, context), batch, at::Tensor(), context);
    const at::Tensor truth = at::tensor(targets, at::kLong).to(logits.device());
    at::Tensor weights;
    if (!weights_.empty()) weights = at::tensor(weights_, at::kFloat).to(logits.device());
    LossSum result;
    result.sum = at::cross_entropy_loss(logits, truth, weights, at::Reduction::Sum, -100, smoothing_);
    result.details = {{"accuracy", logits.argmax(1).eq(truth).to(at::kFloat).mean().item<double>()}};
    return result;
  }

  TaskResult evaluate(const Network& network, const ForwardContext& context) const override {
    TaskInput input = input_.data;
    input.split = input_.eval_split;
    return task_->run(make_task_model(network, tokenizer_, context, input_.max_length, *input_.pool), input);
  }
  bool has_evaluation() const override { return !input_.eval_split.empty(); }

  std::string summary() const override {
    std::string text = fmt::format("{}: {} examples ({})\n", file_.string(), num_examples(), reading_);
    const std::size_t shown = std::min<std::size_t>(classes_.size(), 12);
    text += "classes:";
    for (std::size_t i = 0; i < shown; ++i) text += fmt::format(" {} {}", classes_[i], counts_[i]);
    if (shown < classes_.size()) text += fmt::format(" and {} more", classes_.size() - shown);
    return text + "\n" + texts_.describe_lengths(input_.max_length) + "\n";
  }

 private:
  const Tokenizer& tokenizer_;
  ObjectiveInput input_;
  const Task* task_;
  std::string reading_;
  std::filesystem::path file_;
  TextExamples texts_;
  std::vector<std::string> classes_;
  std::vector<int> targets_;
  std::vector<int64_t> counts_;
  std::vector<float> weights_;
  double smoothing_ = 0;
};

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  Dataset data = read_dataset(find_split(input.data.data, input.train_split), input.data.columns);
  if (input.data.limit > 0 && data.examples.size() > input.data.limit) data.examples.resize(input.data.limit);
  const std::vector<std::string> classes = classes_of(data);
  if (classes.size() < 2) {
    fail(ErrorKind::kInput, "{}: {} distinct labels; wanted at least 2", data.file.string(), classes.size());
  }
  constexpr std::size_t kMostClasses = 10000;
  if (classes.size() > kMostClasses) {
    fail(ErrorKind::kInput, "{}: {} distinct labels, more than {}; for scores use --task regression",
         data.file.string(), classes.size(), kMostClasses);
  }
  give_head(model, "ForSequenceClassification", classes, "single_label_classification", input.seed);
  const std::string task = input.params.contains("task") ? input.params.find("task")->as_string("task") : "";
  const Task* found = find_task(task);
  return std::make_unique<Classification>(tokenizer, input, std::move(data), classes,
                                          found != nullptr ? found : find_task("classification"));
}

}  // namespace

extern const ObjectiveKind classification_objective;
const ObjectiveKind classification_objective = {"classification",
                                                "pair-classification sst2 cola mrpc rte mnli qnli qqp wnli",
                                                "classes of texts or of pairs of texts", make};

}  // namespace penjing::train
