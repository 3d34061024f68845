// augment: more training texts from a task's own, for a student to learn on with its teacher's answers.
#include "augment/augment.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/log.h"
#include "base/text_table.h"
#include "cli/loaded_model.h"
#include "cli/param_options.h"
#include "data/table_writer.h"
#include "data/text_lines.h"
#include "eval/evaluation.h"

namespace penjing::cli {

namespace {

using augment::AugmentMethod;

const CLI::App* command_line = nullptr;
struct Options {
  std::string model, task, data, split = "train", out, method = "tinybert";
  ColumnNames columns;
  int64_t limit = 0;
  uint64_t seed = 1;
};
Options options;
ParamOptions params;

std::string method_names() {
  std::string names;
  for (const AugmentMethod* method : augment::all_augment_methods())
    names += (names.empty() ? "" : ", ") + std::string(method->name);
  return names;
}

void declare(CLI::App& app) {
  command_line = &app;
  app.add_option("MODEL", options.model,
                 "a masked-language model (tinybert), or any model whose tokenizer and embeddings shall "
                 "serve (bilstm)")
      ->required();
  app.add_option(
         "--task", options.task,
         "what the data are: a task of penjing eval with labelled texts or pairs (sst2, mrpc, stsb, ...), "
         "regression, or texts")
      ->required();
  app.add_option("--data", options.data, "a file, or a folder with train (.tsv, .csv, .jsonl, .json)")
      ->required();
  app.add_option("-o,--out", options.out, "file to write: .tsv, .csv or .jsonl (texts: .txt)")->required();
  app.add_option("--method", options.method, method_names())->capture_default_str();
  app.add_option("--split", options.split, "which of a folder")->capture_default_str();
  app.add_option("--text-column", options.columns.text, "instead of the guess");
  app.add_option("--pair-column", options.columns.pair, "the second text of a pair");
  app.add_option("--label-column", options.columns.label, "label or score");
  app.add_option("--limit", options.limit, "the first N examples only")->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "of all that is drawn")->capture_default_str();
  for (const AugmentMethod* method : augment::all_augment_methods()) params.declare(app, method->params());
}

const AugmentMethod& chosen_method() {
  if (const AugmentMethod* method = augment::find_augment_method(options.method)) return *method;
  fail(ErrorKind::kInput, "--method \"{}\"; there are: {}", options.method, method_names());
}

Dataset read_lines() {
  Dataset data;
  data.file = options.data;
  data.reading = "text: lines";
  const auto lines = read_text_lines(options.data);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].empty()) data.examples.push_back({lines[i], "", "", i + 1});
  }
  if (data.examples.empty()) fail(ErrorKind::kInput, "{}: no text in it", options.data);
  return data;
}

Dataset read_data() {
  if (options.task == "texts") return read_lines();
  const Task* task = find_task(options.task);
  const std::string name = task != nullptr ? task->name : options.task;
  if (task == nullptr && name != "regression") {
    std::vector<std::string> names = {"texts", "regression"};
    for (const Task* known : all_tasks()) names.emplace_back(known->name);
    fail(ErrorKind::kInput, "--task \"{}\"; did you mean \"{}\"?", options.task,
         nearest(options.task, names));
  }
  constexpr std::string_view kLabelled[] = {"classification", "cola",       "mrpc",
                                            "stsb",           "regression", "multi_label"};
  if (std::find(std::begin(kLabelled), std::end(kLabelled), name) == std::end(kLabelled)) {
    fail(ErrorKind::kUnsupported,
         "task {}: its examples are no texts or pairs with a label, which is what can be augmented", name);
  }
  return read_dataset(find_split(options.data, options.split), options.columns,
                      name == "multi_label" ? EmptyLabels::kAllowed : EmptyLabels::kRefused);
}

// Where rows go, with the names that read_dataset guesses unless the user gave others.
class RowsFile {
 public:
  explicit RowsFile(const Dataset& data) : pairs_(data.pairs), labels_(options.task != "texts") {
    std::error_code error;
    if (std::filesystem::equivalent(data.file, options.out, error))
      fail(ErrorKind::kInput, "--out {}: is the file that is read", options.out);
    if (!labels_ && std::filesystem::path(options.out).extension() == ".txt") {
      lines_.emplace(options.out);
      return;
    }
    const auto named = [](const std::string& given, const char* usual) {
      return given.empty() ? usual : given;
    };
    std::vector<std::string> columns = {named(options.columns.text, pairs_ ? "sentence1" : "text")};
    if (pairs_) columns.push_back(named(options.columns.pair, "sentence2"));
    if (labels_) columns.push_back(named(options.columns.label, "label"));
    table_.emplace(options.out, columns);
  }
  void add(const Example& example) {
    if (lines_) {
      lines_->write(example.text + "\n");
      return;
    }
    std::vector<std::string> cells = {example.text};
    if (pairs_) cells.push_back(example.pair);
    if (labels_) cells.push_back(example.label);
    table_->add(cells);
  }
  void commit() { lines_ ? lines_->commit() : table_->commit(); }

 private:
  bool pairs_, labels_;
  std::optional<OutputFile> lines_;
  std::optional<TableWriter> table_;
};

// The parts of a model that a method asks for.
struct Parts {
  LoadedModel loaded;  // without engine and predictor where the method needs none
  EmbeddingTable words;
};

Parts load_parts(const AugmentMethod& method, const CommonOptions& common) {
  Parts parts;
  if (method.needs_masked_lm) {
    parts.loaded = load_model(options.model, common, {"", {OutputKind::kMaskedLogits}});
    if (!parts.loaded.predictor->supports(OutputKind::kMaskedLogits))
      fail(ErrorKind::kUnsupported, "{}: has no head for masked words, which {} needs", options.model,
           method.name);
  } else {
    parts.loaded.model = read_model(resolve_model(options.model));
    parts.loaded.tokenizer = Tokenizer::load(parts.loaded.model.folder);
    parts.loaded.pool = std::make_shared<ThreadPool>(common.threads);
  }
  const EmbeddingSpec& spec = parts.loaded.model.description.embedding;
  if (parts.loaded.tokenizer->vocab_size() > spec.vocab_size) {
    fail(ErrorKind::kFormat, "{}: the tokenizer has {} tokens, the embedding table {} rows", options.model,
         parts.loaded.tokenizer->vocab_size(), spec.vocab_size);
  }
  parts.words = resolve_embedding(parts.loaded.model.tensors, spec.word, spec.vocab_size, spec.width);
  return parts;
}

int run(const CommonOptions& common) {
  const AugmentMethod& method = chosen_method();
  const Json resolved = resolve_params(method.name, method.params(), params.given(*command_line));
  Dataset data = read_data();
  if (options.limit > 0 && data.examples.size() > static_cast<std::size_t>(options.limit))
    data.examples.resize(static_cast<std::size_t>(options.limit));
  log_info("{}: {} examples ({})", data.file.string(), data.examples.size(), data.reading);
  RowsFile rows(data);
  Parts parts = load_parts(method, common);
  const LoadedModel& loaded = parts.loaded;
  const auto augmenter = method.make(
      {*loaded.tokenizer, parts.words, loaded.predictor.get(), loaded.max_length, *loaded.pool, options.seed},
      resolved);
  const auto start = std::chrono::steady_clock::now();
  const augment::AugmentCounts counts =
      augment::augment(data, *loaded.tokenizer, *augmenter, *loaded.pool, options.seed,
                       [&](const Example& row) { rows.add(row); });
  rows.commit();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double rate = static_cast<double>(counts.rows) / std::max(seconds, 1e-9);
  if (common.json) {
    print_json(Json::object({{"method", method.name},
                             {"params", resolved},
                             {"seed", options.seed},
                             {"data", data.file.string()},
                             {"reading", data.reading},
                             {"examples", counts.examples},
                             {"rows", counts.rows},
                             {"repeated", counts.repeated},
                             {"seconds", seconds},
                             {"rows_per_second", rate},
                             {"out", options.out}}));
    return kDone;
  }
  print_text(fmt::format("{}: {} rows of {} examples, {} repetitions left out; {:.1f} s, {:.0f} rows/s\n",
                         options.out, counts.rows, counts.examples, counts.repeated, seconds, rate));
  return kDone;
}

}  // namespace

extern const Command augment_command;
const Command augment_command = {
    "augment", "more training texts from a task's own, for a student to learn on",
    "  penjing augment bert-base --task sst2 --data glue-sst2 --out glue-sst2/augmented.tsv\n"
    "  penjing augment bert-base --task mrpc --data glue-mrpc --method bilstm --out glue-mrpc/augmented.tsv\n"
    "  penjing distill student --teacher bert-mrpc --task mrpc --data glue-mrpc --train-split augmented "
    "--out small",
    declare, run};

}  // namespace penjing::cli
