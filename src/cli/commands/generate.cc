// generate: texts out of nothing for a student to learn on, said by a masked language model and taken by a
// teacher.
#include "augment/generate.h"

#include <CLI/CLI.hpp>
#include <chrono>

#include "base/error.h"
#include "base/log.h"
#include "cli/labels.h"
#include "cli/loaded_model.h"
#include "data/table_writer.h"
#include "model/architectures.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, teacher, out;
  augment::SpeakerSettings speaker;
  augment::GenerateSettings wanted;
  bool any_balance = false;
};
Options options;

void declare(CLI::App& app) {
  augment::SpeakerSettings& speaker = options.speaker;
  augment::GenerateSettings& wanted = options.wanted;
  constexpr int64_t kMost = int64_t{1} << 40;
  app.add_option("MODEL", options.model, "a masked-language model: the one that the teacher was made from")
      ->required();
  app.add_option("--teacher", options.teacher, "the classifier that takes a text or not")->required();
  app.add_option("-o,--out", options.out, "file to write: .tsv, .csv or .jsonl, with text and label")
      ->required();
  app.add_option("-n,--count", wanted.count, "texts wanted")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, kMost));
  app.add_option("--confidence", wanted.confidence, "probability that the teacher gives its class, at least")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  app.add_flag("--any-balance", options.any_balance, "classes as they come, not as many of each");
  app.add_option("--tries", wanted.most_tries, "texts made at most; default: 50 for each that is wanted")
      ->check(CLI::Range(int64_t{1}, kMost));
  app.add_option("--min-length", speaker.min_length, "pieces of the shortest text")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--max-length", speaker.max_length, "pieces of the longest")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--seed-words", speaker.seed_words,
                 "words of a text that are drawn from the vocabulary and stay")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--places", speaker.places, "pieces filled a forward: more are faster and fit less together")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--sweeps", speaker.sweeps, "times that every piece is masked and filled again")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--temperature", speaker.temperature, "of the distribution that pieces are drawn from")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 100.0));
  app.add_option("--top-k", speaker.top_k, "the likeliest pieces alone are drawn")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  app.add_option("--seed", speaker.seed, "of all that is drawn")->capture_default_str();
}

// Logits of the teacher's classes.
augment::Judge judge_by(LoadedModel& teacher) {
  return [&teacher](const std::vector<std::string>& texts) {
    EncodeOptions how;
    how.max_length = teacher.max_length;
    how.ids_only = true;
    const std::vector<Encoding> encodings = encode_all(*teacher.tokenizer, *teacher.pool, texts, how);
    std::vector<std::vector<float>> logits(texts.size());
    predict_all(
        *teacher.predictor, encodings, OutputKind::kClassLogits, nullptr,
        [&](std::size_t i, const float* row, int64_t, int64_t dim) { logits[i].assign(row, row + dim); });
    return logits;
  };
}

// How many classes the teacher tells apart.
int64_t classes_of(const LoadedModel& teacher) {
  const HeadSpec* head = teacher.model.description.find_head(HeadKind::kSequenceClassifier);
  if (head == nullptr)
    fail(ErrorKind::kUnsupported, "--teacher {}: no sequence classification head", options.teacher);
  const int64_t classes = head->projection.out;
  if (classes < 2 || is_multi_label(teacher.model.config))
    fail(ErrorKind::kUnsupported, "--teacher {}: does not choose one of several classes", options.teacher);
  return classes;
}

int run(const CommonOptions& common) {
  options.wanted.balance = !options.any_balance;
  TableWriter rows(options.out, {"text", "label"});
  LoadedModel teacher = load_model(options.teacher, common, {"", {OutputKind::kClassLogits}});
  const int64_t classes = classes_of(teacher);
  if (options.wanted.balance && options.wanted.count < classes)
    fail(ErrorKind::kInput, "--count {}: fewer than the teacher's {} classes", options.wanted.count, classes);
  LoadedModel masked_lm = load_model(options.model, common, {"", {OutputKind::kMaskedLogits}}, teacher.pool);
  augment::Speaker speaker(*masked_lm.tokenizer, *masked_lm.predictor, *masked_lm.pool, options.speaker);
  const auto start = std::chrono::steady_clock::now();
  const augment::GenerateCounts counts = augment::generate(
      speaker, judge_by(teacher), classes, options.wanted, [&](const std::string& text, int64_t label) {
        rows.add({text, label_of(teacher.model, label)});
      });
  if (counts.num_kept() == 0) {
    fail(ErrorKind::kInput,
         "generate: of {} texts the teacher was sure of none: a lower --confidence, more --tries",
         counts.tried);
  }
  rows.commit();
  if (counts.num_kept() < options.wanted.count) {
    log_warning("{} of {} texts after {} tries: --tries, or --any-balance, or a lower --confidence",
                counts.num_kept(), options.wanted.count, counts.tried);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  Json by_class = Json::object();
  std::string told;
  for (std::size_t c = 0; c < counts.kept.size(); ++c) {
    const std::string label = label_of(teacher.model, static_cast<int64_t>(c));
    by_class.set(label, counts.kept[c]);
    if (c < 12) told += fmt::format("{}{} {}", told.empty() ? "" : ", ", label, counts.kept[c]);
  }
  if (counts.kept.size() > 12) told += fmt::format(" and {} more", counts.kept.size() - 12);
  if (common.json) {
    print_json(Json::object({{"out", options.out},
                             {"kept", counts.num_kept()},
                             {"classes", by_class},
                             {"tried", counts.tried},
                             {"unsure", counts.unsure},
                             {"class_full", counts.surplus},
                             {"repeated", counts.repeated},
                             {"seed", options.speaker.seed},
                             {"seconds", seconds}}));
    return kDone;
  }
  print_text(
      fmt::format("{}: {} texts ({}) of {} that were made: of {} the teacher was unsure, {} were of a class "
                  "that was full, {} "
                  "repeated others; {:.1f} s\n",
                  options.out, counts.num_kept(), told, counts.tried, counts.unsure, counts.surplus,
                  counts.repeated, seconds));
  return kDone;
}

}  // namespace

extern const Command generate_command;
const Command generate_command = {
    "generate", "texts out of nothing, said by a masked language model and labelled by a teacher",
    "  penjing generate bert-base --teacher bert-base-sst2 --count 10000 --out made/train.tsv\n"
    "  penjing generate bert-base-int8 --teacher bert-base-sst2 --count 3000 --places 3 --out "
    "made/train.tsv\n"
    "  penjing distill student --teacher bert-base-sst2 --task sst2 --data made --no-eval --out small",
    declare, run};

}  // namespace penjing::cli
