// tokens: tags of words (named entities, slots). The first piece of each word carries its tag, the others and
// the template's tokens carry none (Devlin et al. 2019, 5.3); cross-entropy, the mean over labelled pieces.
// The classes are the tags that occur, "O" first. Scored as seqeval counts whole spans.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/thread_pool.h"
#include "data/tagged.h"
#include "text/words.h"
#include "train/forward_all.h"
#include "train/losses.h"
#include "train/new_head.h"
#include "train/objective_params.h"
#include "train/task_model.h"
#include "train/text_examples.h"

namespace penjing::train {

namespace {

// Sentences as sequences, with the token of each word.
struct WordSequences {
  std::vector<Sequence> sequences;
  std::vector<std::vector<int64_t>> first;  // of each word its first token, -1: none
  int64_t truncated = 0;
};

WordSequences encode_words(const Tokenizer& tokenizer, ThreadPool& pool,
                           const std::vector<std::vector<std::string>>& sentences, int64_t max_length) {
  std::vector<std::string> texts;
  for (const auto& words : sentences) texts.push_back(join_words(words));
  EncodeOptions how;
  how.max_length = max_length;
  WordSequences result;
  std::vector<Encoding> encodings = encode_all(tokenizer, pool, texts, how);
  for (std::size_t s = 0; s < sentences.size(); ++s) {
    result.first.push_back(first_tokens(sentences[s], encodings[s]));
    result.truncated += encodings[s].truncated ? 1 : 0;
    result.sequences.push_back({std::move(encodings[s].ids), {}});
  }
  return result;
}

class Tokens final : public Objective {
 public:
  Tokens(const Tokenizer& tokenizer, const ObjectiveInput& input, const TaggedData& data,
         const std::vector<std::string>& classes)
      : tokenizer_(tokenizer),
        input_(input),
        file_(data.file),
        reading_(data.reading),
        classes_(classes),
        counts_(classes.size()) {
    std::map<std::string, int64_t> numbers;
    for (std::size_t i = 0; i < classes.size(); ++i) numbers[classes[i]] = static_cast<int64_t>(i);
    std::vector<std::vector<std::string>> sentences;
    for (const TaggedSentence& sentence : data.sentences) sentences.push_back(sentence.words);
    words_ = encode_words(tokenizer, *input.pool, sentences, input.max_length);
    for (std::size_t s = 0; s < sentences.size(); ++s) {
      std::vector<Label>& labels = labels_.emplace_back();
      for (std::size_t w = 0; w < sentences[s].size(); ++w) {
        if (words_.first[s][w] < 0) continue;
        labels.push_back({words_.first[s][w], numbers.at(data.sentences[s].tags[w])});
        ++counts_[static_cast<std::size_t>(labels.back().target)];
      }
    }
    ObjectiveParams params(input.params);
    smoothing_ = params.number("label_smoothing", 0, 0, 0.999);
    weights_ = params.class_weights(balanced_weights(counts_));
    params.refuse_others();
  }

  int64_t num_examples() const override { return static_cast<int64_t>(labels_.size()); }
  std::span<const Sequence> sequences(int64_t example) const override {
    return {&words_.sequences[static_cast<std::size_t>(example)], 1};
  }
  std::string target(int64_t example) const override {
    std::string text;
    for (const Label& label : labels_[static_cast<std::size_t>(example)])
      text += fmt::format("{} {}\n", label.token, classes_[label.target]);
    return text;
  }
  double weight(int64_t example) const override {
    double sum = 0;
    for (const Label& label : labels_[static_cast<std::size_t>(example)]) {
      sum += weights_.empty() ? 1 : double{weights_[static_cast<std::size_t>(label.target)]};
    }
    return sum;
  }

  LossSum loss(const Network& network, const ForwardContext& context, std::span<const int64_t> examples,
               int64_t) const override {
    std::vector<const Sequence*> sequences;
    std::vector<int64_t> rows, targets;
    int64_t begin = 0;
    for (const int64_t i : examples) {
      sequences.push_back(&words_.sequences[static_cast<std::size_t>(i)]);
      for (const Label& label : labels_[static_cast<std::size_t>(i)]) {
        rows.push_back(begin + label.token);
        targets.push_back(label.target);
      }
      begin += static_cast<int64_t>(sequences.back()->ids.size());
    }
    const PackedBatch batch = pack(sequences, {examples.begin(), examples.end()}, network.device());
    const at::Tensor hidden = network.encoder->forward(batch, context);
    const at::Device device = hidden.device();
    const at::Tensor logits =
        run_head(network.model->description, network.parameters, HeadKind::kTokenClassifier, hidden, batch,
                 at::tensor(rows, at::kLong).to(device), context);
    const at::Tensor truth = at::tensor(targets, at::kLong).to(device);
    CrossEntropyOptions options;
    options.label_smoothing = smoothing_;
    if (!weights_.empty()) options.class_weights = at::tensor(weights_, at::kFloat);
    LossSum result{cross_entropy(logits, truth, options), {}};
    if (!targets.empty()) {
      const at::Tensor right = logits.detach().argmax(1).eq(truth).to(at::kDouble).mean();
      result.details = {{"accuracy", right.item<double>()}};
    }
    return result;
  }

  TaskResult evaluate(const Network& network, const ForwardContext& context) const override {
    TaskModel model;
    model.labels = classes_;
    model.tag = [&](const std::vector<std::vector<std::string>>& sentences) {
      return tag(network, context, sentences);
    };
    TaskInput input = input_.data;
    input.split = input_.eval_split;
    return find_task("tagging")->run(model, input);
  }
  bool has_evaluation() const override { return !input_.eval_split.empty(); }

  std::string summary() const override {
    int64_t labelled = 0;
    std::string classes;
    for (std::size_t i = 0; i < classes_.size(); ++i) {
      labelled += counts_[i];
      if (i < kShownClasses) classes += fmt::format(" {} {}", classes_[i], counts_[i]);
    }
    if (classes_.size() > kShownClasses)
      classes += fmt::format(" and {} more", classes_.size() - kShownClasses);
    return fmt::format("{}: {} sentences, {} labelled words ({})\ntags:{}\n{}\n", file_.string(),
                       num_examples(), labelled, reading_, classes,
                       describe_lengths(words_.sequences, words_.truncated, input_.max_length));
  }

 private:
  static constexpr std::size_t kShownClasses = 20;
  struct Label {
    int64_t token = 0, target = 0;
  };

  std::vector<TaskModel::Rows> tag(const Network& network, const ForwardContext& context,
                                   const std::vector<std::vector<std::string>>& sentences) const {
    const WordSequences words = encode_words(tokenizer_, *input_.pool, sentences, input_.max_length);
    std::vector<const Sequence*> sequences;
    for (const Sequence& sequence : words.sequences) sequences.push_back(&sequence);
    ForwardContext quiet = context;
    quiet.training = false;
    std::vector<TaskModel::Rows> result(sentences.size());
    forward_all(
        network, quiet, sequences, kEvaluationTokens,
        [&](int64_t first, const PackedBatch& batch, const at::Tensor& hidden) {
          const at::Tensor logits = run_head(network.model->description, network.parameters,
                                             HeadKind::kTokenClassifier, hidden, batch, at::Tensor(), quiet)
                                        .to(at::kCPU)
                                        .contiguous();
          const int64_t classes = logits.size(1);
          const float* values = logits.data_ptr<float>();
          for (int64_t s = 0; s < batch.num_sequences(); ++s) {
            const auto sentence = static_cast<std::size_t>(first + s);
            for (const int64_t token : words.first[sentence]) {
              const float* row =
                  values +
                  (batch.offsets[static_cast<std::size_t>(s)] + std::max<int64_t>(token, 0)) * classes;
              result[sentence].emplace_back(row, token < 0 ? row : row + classes);
            }
          }
        });
    return result;
  }

  const Tokenizer& tokenizer_;
  ObjectiveInput input_;
  std::filesystem::path file_;
  std::string reading_;
  std::vector<std::string> classes_;
  WordSequences words_;
  std::vector<std::vector<Label>> labels_;
  std::vector<int64_t> counts_;
  std::vector<float> weights_;
  double smoothing_ = 0;
};

void add_tags(const TaggedData& data, std::vector<std::string>& tags) {
  for (const TaggedSentence& sentence : data.sentences)
    tags.insert(tags.end(), sentence.tags.begin(), sentence.tags.end());
}

// Tags of the training sentences and of the held-back ones (a tag that the model does not have cannot be
// scored), "O" first, then in the order of their bytes.
std::vector<std::string> tags_of(const TaggedData& data, const ObjectiveInput& input) {
  std::vector<std::string> tags = {"O"};
  add_tags(data, tags);
  if (!input.eval_split.empty()) add_tags(read_tagged(find_split(input.data.data, input.eval_split)), tags);
  std::sort(tags.begin() + 1, tags.end());
  tags.erase(std::unique(tags.begin() + 1, tags.end()), tags.end());
  tags.erase(std::remove(tags.begin() + 1, tags.end(), "O"), tags.end());
  if (tags.size() < 2) fail(ErrorKind::kInput, "{}: every tag is \"O\"", data.file.string());
  return tags;
}

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  TaggedData data = read_tagged(find_split(input.data.data, input.train_split));
  if (input.data.limit > 0 && data.sentences.size() > input.data.limit)
    data.sentences.resize(input.data.limit);
  const std::vector<std::string> classes = tags_of(data, input);
  give_head(model, "ForTokenClassification", classes, "", input.seed);
  return std::make_unique<Tokens>(tokenizer, input, data, classes);
}

}  // namespace

extern const ObjectiveKind tokens_objective;
const ObjectiveKind tokens_objective = {"tokens", "tagging ner", "tags of words: named entities, slots",
                                        make};

}  // namespace penjing::train
