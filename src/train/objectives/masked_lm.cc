// Masked language modelling on a stream of plain text (Devlin et al. 2018): loss = -sum log p(token that
// stood there) over the masked tokens (train/masking.h), a step's mean is over all of them. No next-sentence
// prediction, which RoBERTa (Liu et al. 2019, section 4.2) found to buy nothing. Held back for the scores:
// files of their own, or every n-th document of each file; their masks are the same at every scoring.
#include <cmath>
#include <deque>
#include <numeric>

#include "base/error.h"
#include "base/interrupt.h"
#include "data/text_stream.h"
#include "io/model_folder.h"
#include "model/new_model.h"
#include "train/masked_lm_loss.h"
#include "train/masking.h"
#include "train/objective.h"
#include "train/task_model.h"
#include "train/text_examples.h"

namespace penjing::train {

namespace {

constexpr int64_t kHoldBack = 200;        // one document in so many, unless told
constexpr int64_t kEvalSequences = 1000;  // at most
constexpr double kMixShare = 0.5;         // Zhao et al. 2019

// Where the masked tokens of a packed batch are, and what stood there.
struct Targets {
  std::vector<int64_t> rows, labels;
  void add(const MaskedSequence& sequence, int64_t offset) {
    for (const int32_t position : sequence.positions) rows.push_back(offset + position);
    labels.insert(labels.end(), sequence.labels.begin(), sequence.labels.end());
  }
};

struct MaskedExample {
  Sequence sequence;
  MaskedSequence masks;  // its ids are in `sequence`
};

MaskedExample mask(const Masking& masking, std::span<const int32_t> ids, int64_t sample) {
  MaskedExample example;
  example.masks = masking.mask(ids, sample);
  example.sequence.ids = std::move(example.masks.ids);
  return example;
}

// The parameters of the objective, "masked_lm" in a recipe.
struct Params {
  TextStreamOptions stream;
  MaskingOptions masking;
  std::vector<std::filesystem::path> eval_files;
  int64_t eval_sequences = kEvalSequences;
};

std::vector<std::filesystem::path> read_paths(const Json& paths, const char* key) {
  std::vector<std::filesystem::path> out;
  for (const Json& path : paths.as_array(key)) out.emplace_back(path.as_string(key));
  return out;
}

DocumentEnd read_document_end(const std::string& name) {
  if (name == "guess") return DocumentEnd::kGuess;
  if (name == "line") return DocumentEnd::kLine;
  if (name == "blank-line") return DocumentEnd::kBlankLine;
  fail(ErrorKind::kInput, "documents end at \"{}\"; wanted guess, line or blank-line", name);
}

Params read_params(const ObjectiveInput& input, const Tokenizer& tokenizer) {
  Params p;
  const Json& json = input.params;
  const auto integer = [&](const char* key, int64_t fallback, int64_t least) {
    const Json* value = json.find(key);
    const int64_t n = value == nullptr ? fallback : value->as_int(key);
    if (n < least) fail(ErrorKind::kInput, "{} is {}; wanted at least {}", key, n, least);
    return n;
  };
  std::vector<std::filesystem::path> paths = {input.data.data};
  if (const Json* files = json.find("files")) paths = read_paths(*files, "files");
  p.stream.files = find_text_files(paths);
  if (const Json* files = json.find("eval_files"))
    p.eval_files = find_text_files(read_paths(*files, "eval_files"));
  p.stream.max_length = input.max_length;
  p.stream.seed = input.seed;
  p.stream.shuffle_size = integer("shuffle_size", p.stream.shuffle_size, 1);
  p.stream.hold_back =
      p.eval_files.empty() && !input.eval_split.empty() ? integer("hold_back", kHoldBack, 0) : 0;
  p.eval_sequences = integer("eval_sequences", kEvalSequences, 1);
  if (const Json* end = json.find("document_end"))
    p.stream.document_end = read_document_end(end->as_string("document_end"));
  if (const Json* cross = json.find("cross_documents"))
    p.stream.cross_documents = cross->as_bool("cross_documents");
  if (const Json* other = json.find("mix_vocabulary");
      other != nullptr && !other->as_string("mix_vocabulary").empty()) {
    const Json* share = json.find("mix_share");
    p.stream.mixed = std::make_shared<MixedSegmentation>(
        tokenizer, Tokenizer::load(resolve_model(other->as_string("mix_vocabulary"))),
        share == nullptr ? kMixShare : share->as_double("mix_share"), input.seed);
  }
  p.masking.seed = input.seed;
  p.masking.max_predictions = integer("max_predictions", 0, 0);
  if (const Json* share = json.find("mask_share")) p.masking.share = share->as_double("mask_share");
  if (const Json* whole = json.find("whole_words")) p.masking.whole_words = whole->as_bool("whole_words");
  return p;
}

class MaskedLm final : public Objective {
 public:
  MaskedLm(const Tokenizer& tokenizer, const Params& params)
      : params_(params), masking_(tokenizer, params.masking), stream_(tokenizer, params.stream) {
    RaggedBatch held;
    TextStreamOptions options = params.stream;
    options.mixed = nullptr;  // scored as it is read
    if (!params.eval_files.empty()) {
      options.files = params.eval_files;
      held = read_sequences(tokenizer, options, params.eval_sequences);
      if (held.num_sequences() == 0) fail(ErrorKind::kInput, "no text in {}", params.eval_files[0].string());
    } else if (params.stream.hold_back > 0) {
      held = read_held_back(tokenizer, options, params.eval_sequences);
    }
    MaskingOptions fixed = params.masking;
    fixed.seed = 0;  // the same for every run, so that runs can be compared
    const Masking masking(tokenizer, fixed);
    for (int64_t i = 0; i < held.num_sequences(); ++i) {
      held_back_.push_back(mask(masking,
                                std::span(held.ids).subspan(static_cast<std::size_t>(held.offsets[i]),
                                                            static_cast<std::size_t>(held.length(i))),
                                i));
    }
    place_ = stream_.position();
  }

  int64_t num_examples() const override { return 0; }
  bool is_stream() const override { return true; }
  std::vector<int64_t> next_examples(const Batches::Settings& size) override {
    current_.clear();
    std::vector<int64_t> numbers;
    int64_t tokens = 0;
    for (;;) {
      if (!next_) {
        place_ = stream_.position();
        next_ = stream_.next();
      }
      const auto more = static_cast<int64_t>(next_->ids.size());
      const bool full = size.batch_tokens > 0 ? tokens > 0 && tokens + more > size.batch_tokens
                                              : static_cast<int64_t>(numbers.size()) == size.batch_size;
      if (full) break;
      if (numbers.empty()) first_ = next_->number;
      epoch_ = next_->epoch;
      tokens += more;
      numbers.push_back(next_->number);
      current_.push_back(mask(masking_, next_->ids, next_->number));
      next_.reset();
    }
    return numbers;
  }
  double epoch() const override { return static_cast<double>(epoch_); }

  std::span<const Sequence> sequences(int64_t example) const override { return {&at(example).sequence, 1}; }
  std::string target(int64_t) const override { return {}; }
  double weight(int64_t example) const override {
    return static_cast<double>(at(example).masks.labels.size());
  }

  LossSum loss(const Network& network, const ForwardContext& context, std::span<const int64_t> examples,
               int64_t) const override {
    std::vector<const MaskedExample*> taken;
    for (const int64_t example : examples) taken.push_back(&at(example));
    const auto [batch, targets] = pack_examples(taken, {examples.begin(), examples.end()}, network.device());
    const at::Tensor hidden = network.encoder->forward(batch, context);
    LossSum result;
    result.sum = masked_lm_loss(network.model->description, network.parameters, hidden, batch,
                                at::tensor(targets.rows, at::kLong).to(hidden.device()),
                                at::tensor(targets.labels, at::kLong).to(hidden.device()), context);
    return result;
  }

  bool has_evaluation() const override { return !held_back_.empty(); }
  TaskResult evaluate(const Network& network, const ForwardContext& context) const override;

  std::string summary() const override {
    int64_t held_tokens = 0;
    for (const MaskedExample& example : held_back_)
      held_tokens += static_cast<int64_t>(example.sequence.ids.size());
    std::string text =
        fmt::format("{} text files from {}; sequences of up to {} tokens, {} shuffled at a time\n",
                    params_.stream.files.size(), params_.stream.files.front().string(),
                    params_.stream.max_length, params_.stream.shuffle_size);
    if (!held_back_.empty()) {
      text += fmt::format(
          "scored on {} sequences ({} tokens) {}\n", held_back_.size(), held_tokens,
          params_.eval_files.empty()
              ? fmt::format("of every {}th document, which are not trained on", params_.stream.hold_back)
              : "of the files for it");
    }
    return text;
  }

  // The masks are functions of the settings and the sequences' numbers: the place in the texts is all.
  Json state() const override {
    return Json::object({{"texts", next_ ? place_ : stream_.position()}, {"masking", masking_settings()}});
  }
  void restore(const Json& state) override {
    const Json* texts = state.find("texts");
    if (texts == nullptr) fail(ErrorKind::kFormat, "the checkpoint's objective: texts is missing");
    if (const Json* masking = state.find("masking"); masking == nullptr || !(*masking == masking_settings()))
      fail(ErrorKind::kInput, "the checkpoints are of a run that masked in another way");
    next_.reset();
    stream_.seek(*texts);
  }

 private:
  const MaskedExample& at(int64_t example) const {
    return current_[static_cast<std::size_t>(example - first_)];
  }

  Json masking_settings() const {
    return Json::object({{"share", params_.masking.share},
                         {"max_predictions", params_.masking.max_predictions},
                         {"whole_words", params_.masking.whole_words},
                         {"seed", std::to_string(params_.masking.seed)}});
  }

  static std::pair<PackedBatch, Targets> pack_examples(std::span<const MaskedExample* const> examples,
                                                       std::vector<int64_t> samples, at::Device device) {
    std::vector<const Sequence*> sequences;
    Targets targets;
    int64_t offset = 0;
    for (const MaskedExample* example : examples) {
      sequences.push_back(&example->sequence);
      targets.add(example->masks, offset);
      offset += static_cast<int64_t>(example->sequence.ids.size());
    }
    return {pack(sequences, std::move(samples), device), std::move(targets)};
  }

  Params params_;
  Masking masking_;
  TextStream stream_;
  std::optional<TextStream::Sample> next_;  // did not fit the last step
  Json place_;                              // of it
  std::vector<MaskedExample> current_;
  int64_t first_ = 0, epoch_ = 0;
  std::vector<MaskedExample> held_back_;
};

TaskResult MaskedLm::evaluate(const Network& network, const ForwardContext& context) const {
  const at::NoGradGuard no_gradient;
  ForwardContext quiet = context;
  quiet.training = false;
  struct Counts {
    double tokens = 0, right = 0, log_probability = 0;
  };
  const auto counts = std::make_shared<std::vector<Counts>>();
  TaskResult result;
  for (std::size_t next = 0; next < held_back_.size();) {
    check_interrupt();
    std::vector<const MaskedExample*> taken;
    std::vector<int64_t> samples;
    int64_t tokens = 0;
    while (next < held_back_.size()) {
      const auto more = static_cast<int64_t>(held_back_[next].sequence.ids.size());
      if (!taken.empty() && tokens + more > kEvaluationTokens) break;
      samples.push_back(static_cast<int64_t>(next));
      taken.push_back(&held_back_[next++]);
      tokens += more;
    }
    const auto [batch, targets] = pack_examples(taken, samples, network.device());
    const at::Tensor hidden = network.encoder->forward(batch, quiet);
    const MaskedGuesses guesses =
        guess_masked(network.model->description, network.parameters, hidden, batch,
                     at::tensor(targets.rows, at::kLong).to(hidden.device()),
                     at::tensor(targets.labels, at::kLong).to(hidden.device()), quiet);
    std::size_t guess = 0;
    for (const MaskedExample* example : taken) {
      Counts sum;
      for (std::size_t i = 0; i < example->masks.labels.size(); ++i, ++guess) {
        sum.tokens += 1;
        sum.right += guesses.right[guess] ? 1 : 0;
        sum.log_probability += guesses.log_probabilities[guess];
      }
      counts->push_back(sum);
      result.outputs.push_back(sum.log_probability);
    }
  }
  const auto total = [counts](std::span<const std::size_t> examples) {
    Counts sum;
    for (const std::size_t i : examples) {
      sum.tokens += (*counts)[i].tokens;
      sum.right += (*counts)[i].right;
      sum.log_probability += (*counts)[i].log_probability;
    }
    return sum;
  };
  result.metrics.push_back({"masked_accuracy", [total](std::span<const std::size_t> examples) {
                              const Counts sum = total(examples);
                              return sum.right / sum.tokens;
                            }});
  result.metrics.push_back({"perplexity", [total](std::span<const std::size_t> examples) {
                              const Counts sum = total(examples);
                              return std::exp(-sum.log_probability / sum.tokens);
                            }});
  result.num_examples = counts->size();
  result.kind = TaskResult::Outputs::kScores;
  result.file = params_.eval_files.empty() ? params_.stream.files.front() : params_.eval_files.front();
  result.how = "masked tokens, all of a sequence at once";
  return result;
}

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  const Params params = read_params(input, tokenizer);
  give_masked_lm_head(model, input.seed);
  return std::make_unique<MaskedLm>(tokenizer, params);
}

}  // namespace

extern const ObjectiveKind masked_lm_objective;
const ObjectiveKind masked_lm_objective = {"masked-lm", "pretrain", "masked words of plain text", make};

}  // namespace penjing::train
