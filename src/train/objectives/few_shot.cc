// few-shot: a classifier from a few texts a class (SetFit; Tunstall et al. 2022, "Efficient Few-Shot Learning
// Without Prompts"): the encoder is trained on pairs of texts of one class (cosine 1) and of two classes
// (cosine 0), then logistic regression on the embeddings. For each text, `iterations` pairs of either sign
// are drawn with the seed. Written as `penjing probe` writes: a dense layer after the sentence modules.
#include <algorithm>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "eval/linear_probe.h"
#include "eval/metrics.h"
#include "io/sentence_modules.h"
#include "model/prompts.h"
#include "train/chunked_loss.h"
#include "train/forward_all.h"
#include "train/losses.h"
#include "train/objective_params.h"
#include "train/sentence_encoder.h"
#include "train/task_model.h"
#include "train/text_examples.h"

namespace penjing::train {

namespace {

constexpr uint64_t kShotStream = 0x73686f74;  // "shot"
constexpr uint64_t kPairStream = 0x70616972;  // "pair"

struct LabelledPair {
  int64_t first = 0, second = 0;  // numbers of texts
  bool same = false;
};

// At most `shots` texts of each class (0: all), drawn with the seed, in the order of the data.
Dataset choose_shots(Dataset data, int64_t shots, uint64_t seed) {
  if (shots == 0) return data;
  std::map<std::string, std::vector<std::size_t>> rows;
  for (std::size_t i = 0; i < data.examples.size(); ++i) rows[data.examples[i].label].push_back(i);
  Rng rng(seed, kShotStream);
  std::vector<std::size_t> kept;
  for (auto& [label, all] : rows) {
    const std::size_t count = std::min(all.size(), static_cast<std::size_t>(shots));
    for (std::size_t i = 0; i < count; ++i) std::swap(all[i], all[i + rng.below(all.size() - i)]);
    kept.insert(kept.end(), all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
  }
  std::sort(kept.begin(), kept.end());
  std::vector<Example> examples;
  for (const std::size_t i : kept) examples.push_back(data.examples[i]);
  data.examples = std::move(examples);
  return data;
}

std::vector<LabelledPair> draw_pairs(const std::vector<int>& classes, int num_classes, int64_t iterations,
                                     uint64_t seed) {
  std::vector<std::vector<int64_t>> of_class(static_cast<std::size_t>(num_classes));
  for (std::size_t i = 0; i < classes.size(); ++i)
    of_class[static_cast<std::size_t>(classes[i])].push_back(static_cast<int64_t>(i));
  Rng rng(seed, kPairStream);
  std::vector<LabelledPair> pairs;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const auto own = static_cast<int64_t>(i);
    const std::vector<int64_t>& mates = of_class[static_cast<std::size_t>(classes[i])];
    for (int64_t round = 0; round < iterations; ++round) {
      if (mates.size() > 1) {
        const int64_t mate = mates[rng.below(mates.size() - 1)];
        pairs.push_back({own, mate == own ? mates.back() : mate, true});
      }
      int64_t other = own;
      while (classes[static_cast<std::size_t>(other)] == classes[i])
        other = static_cast<int64_t>(rng.below(classes.size()));
      pairs.push_back({own, other, false});
    }
  }
  return pairs;
}

class FewShot final : public Objective {
 public:
  FewShot(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input, Dataset data)
      : tokenizer_(tokenizer), input_(input), file_(data.file), reading_(data.reading) {
    ObjectiveParams params(input.params);
    const int64_t shots = params.integer("shots", 0, 0, 1 << 30);
    const int64_t iterations = params.integer("iterations", 20, 1, 100000);
    contrastive_ = params.word("loss", {"cosine", "contrastive"}) == "contrastive";
    if (contrastive_) margin_ = params.number("margin", 0.5, 0, 2);
    c_ = params.number("c", 1, 0, 1e9);
    make_sentence_encoder(model, params, input.max_length, input.seed);
    params.refuse_others();
    data = choose_shots(std::move(data), shots, input.seed);
    std::map<std::string, int> numbers;
    for (const Example& example : data.examples) numbers.emplace(example.label, 0);
    for (auto& [name, number] : numbers) {
      number = static_cast<int>(names_.size());
      names_.push_back(name);
    }
    if (names_.size() < 2)
      fail(ErrorKind::kInput, "{}: {} distinct labels; wanted at least 2", file_.string(), names_.size());
    counts_.resize(names_.size());
    for (const Example& example : data.examples) {
      classes_.push_back(numbers.at(example.label));
      ++counts_[static_cast<std::size_t>(classes_.back())];
    }
    const std::string prompt = prompt_for(model.sentence, TextRole::kText);
    const TextExamples texts(tokenizer, *input.pool, texts_of(data), {}, input.max_length,
                             std::span(&prompt, 1));
    truncated_ = texts.num_truncated();
    for (int64_t i = 0; i < texts.size(); ++i) texts_.push_back(texts[i]);
    pairs_ = draw_pairs(classes_, static_cast<int>(names_.size()), iterations, input.seed);
    for (const LabelledPair& pair : pairs_) {
      sequences_.push_back(texts[pair.first]);
      sequences_.push_back(texts[pair.second]);
    }
  }

  int64_t num_examples() const override { return static_cast<int64_t>(pairs_.size()); }
  std::span<const Sequence> sequences(int64_t example) const override {
    return {sequences_.data() + 2 * example, 2};
  }
  // The classes of both texts, which the classifier learns too.
  std::string target(int64_t example) const override {
    const LabelledPair& pair = pairs_[static_cast<std::size_t>(example)];
    return names_[classes_[pair.first]] + "\n" + names_[classes_[pair.second]];
  }

  LossSum loss(const Network& network, const ForwardContext& context, std::span<const int64_t> examples,
               int64_t) const override {
    std::vector<const Sequence*> sequences;
    std::vector<int64_t> samples;
    std::vector<float> same;
    for (const int64_t column : {0, 1}) {
      for (const int64_t i : examples) {
        sequences.push_back(&sequences_[static_cast<std::size_t>(2 * i + column)]);
        samples.push_back(2 * i + column);
      }
    }
    for (const int64_t i : examples) same.push_back(pairs_[static_cast<std::size_t>(i)].same ? 1.0f : 0.0f);
    const auto n = static_cast<int64_t>(examples.size());
    // The loop cuts the sum already: no chunks of its own.
    return {embedding_loss(network, context, sequences, samples, std::numeric_limits<int64_t>::max(),
                           [&](const at::Tensor& rows) {
                             const at::Tensor a = rows.narrow(0, 0, n), b = rows.narrow(0, n, n);
                             const at::Tensor truth = at::tensor(same, at::kFloat).to(rows.device());
                             return contrastive_ ? contrastive(a, b, truth, margin_)
                                                 : cosine_error(a, b, truth);
                           }),
            {}};
  }

  TaskResult evaluate(const Network& network, const ForwardContext& context) const override {
    Dataset test = read_dataset(find_split(input_.data.data, input_.eval_split), input_.data.columns);
    const LinearClassifier classifier = fit(network, context);
    const TaskModel model = make_task_model(network, tokenizer_, context, input_.max_length, *input_.pool);
    auto truth = std::make_shared<std::vector<int>>(), predicted = std::make_shared<std::vector<int>>();
    for (const Example& example : test.examples) {
      const auto found = std::find(names_.begin(), names_.end(), example.label);
      truth->push_back(found == names_.end() ? -1 : static_cast<int>(found - names_.begin()));
    }
    TaskResult result;
    for (const std::vector<float>& row : model.embed(texts_of(test))) {
      predicted->push_back(classifier.predict(row));
      result.outputs.push_back(predicted->back());
    }
    using Value = double (*)(std::span<const int>, std::span<const int>);
    for (const auto& [name, function] :
         {std::pair<const char*, Value>{"accuracy", accuracy}, {"f1_macro", macro_f1}}) {
      const Value value = function;
      result.metrics.push_back({name, [truth, predicted, value](std::span<const std::size_t> examples) {
                                  std::vector<int> t, p;
                                  for (const std::size_t i : examples) {
                                    t.push_back((*truth)[i]);
                                    p.push_back((*predicted)[i]);
                                  }
                                  return value(t, p);
                                }});
    }
    result.num_examples = truth->size();
    result.file = test.file;
    result.reading = test.reading;
    result.how = "logistic regression on the embeddings";
    return result;
  }
  bool has_evaluation() const override { return !input_.eval_split.empty(); }

  void finish(const Network& network, const ForwardContext& context, Model& model) const override {
    const LinearClassifier classifier = fit(network, context);
    const std::vector<float> weight(classifier.weight.begin(), classifier.weight.end());
    const std::vector<float> bias(classifier.bias.begin(), classifier.bias.end());
    append_classifier(model, Tensor::from_floats({classifier.num_classes, classifier.width}, weight),
                      Tensor::from_floats({classifier.num_classes}, bias), names_);
  }

  std::string summary() const override {
    std::string classes;
    const std::size_t shown = std::min<std::size_t>(names_.size(), 12);
    for (std::size_t i = 0; i < shown; ++i) classes += fmt::format(" {} {}", names_[i], counts_[i]);
    if (shown < names_.size()) classes += fmt::format(" and {} more", names_.size() - shown);
    return fmt::format("{}: {} texts, {} pairs drawn from them ({})\nclasses:{}\n{}\n", file_.string(),
                       texts_.size(), num_examples(), reading_, classes,
                       describe_lengths(texts_, truncated_, input_.max_length));
  }

 private:
  LinearClassifier fit(const Network& network, const ForwardContext& context) const {
    std::vector<const Sequence*> texts;
    for (const Sequence& text : texts_) texts.push_back(&text);
    const at::Tensor embeddings = embed_all(network, context, texts, kEvaluationTokens).contiguous();
    std::vector<std::vector<float>> rows;
    const float* values = embeddings.data_ptr<float>();
    for (int64_t i = 0; i < embeddings.size(0); ++i, values += embeddings.size(1))
      rows.emplace_back(values, values + embeddings.size(1));
    ProbeOptions options;
    options.c = c_;
    options.seed = input_.seed;
    return fit_linear_probe(rows, classes_, static_cast<int>(names_.size()), options, input_.pool).classifier;
  }

  const Tokenizer& tokenizer_;
  ObjectiveInput input_;
  std::filesystem::path file_;
  std::string reading_;
  std::vector<std::string> names_;
  std::vector<Sequence> texts_, sequences_;  // sequences_: two a pair
  std::vector<int> classes_;                 // of texts_
  std::vector<int64_t> counts_;
  std::vector<LabelledPair> pairs_;
  bool contrastive_ = false;
  double margin_ = 0.5, c_ = 1;
  int64_t truncated_ = 0;
};

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  Dataset data = read_dataset(find_split(input.data.data, input.train_split), input.data.columns);
  if (data.pairs)
    fail(ErrorKind::kUnsupported, "{}: pairs of texts; few-shot takes single texts", data.file.string());
  if (input.data.limit > 0 && data.examples.size() > input.data.limit) data.examples.resize(input.data.limit);
  return std::make_unique<FewShot>(model, tokenizer, input, std::move(data));
}

}  // namespace

extern const ObjectiveKind few_shot_objective;
const ObjectiveKind few_shot_objective = {
    "few-shot", "setfit", "classes from a few texts each: contrastive pairs, then a classifier", make};

}  // namespace penjing::train
