// eval: scores of a model on labelled data, with intervals, beside another model.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/error.h"
#include "base/text_table.h"
#include "cli/early_exit.h"
#include "cli/task_model.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, task, reference, predictions, classifier = "knn";
  TaskInput input;
  int64_t limit = 0, dimensions = 0;
  uint64_t seed = 1;
  ExitOptions exit;
};
Options options;

std::string task_names() {
  std::string names;
  for (const Task* task : all_tasks()) {
    names += (names.empty() ? "" : ", ") + std::string(task->name);
    if (*task->aliases != 0) names += fmt::format(" ({})", task->aliases);
  }
  return names;
}

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "the model to score")->required();
  app.add_option("--task", options.task, "what is measured: " + task_names())->required();
  app.add_option("--data", options.input.data,
                 "a file, or a folder with train, dev and test (.tsv, .csv, .jsonl, .json, .conll)")
      ->required();
  app.add_option("--split", options.input.split,
                 "which of a folder; default: test, or dev when test has no labels");
  app.add_option("--train", options.input.train, "texts to learn from, when --data has none beside it");
  app.add_option("--reference", options.reference,
                 "another model on the same examples: agreement and significance");
  app.add_option(
         "--classifier", options.classifier,
         "for a model without a head of its own: the 10 nearest training texts (knn), or a linear probe")
      ->capture_default_str()
      ->check(CLI::IsMember({"knn", "linear"}));
  app.add_option("--text-column", options.input.columns.text, "instead of the guess");
  app.add_option("--pair-column", options.input.columns.pair, "the second text of a pair");
  app.add_option("--label-column", options.input.columns.label, "label or score");
  app.add_option("--mask-every", options.input.mask_every,
                 "masked: hide 1 piece in N at once (faster); 0 = one at a time")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000));
  // Without them: what the model was trained with, else what its length allows.
  AnswerInput& answers = options.input.answers;
  app.add_option("--max-length", answers.max_length, "qa: tokens of a window")->check(CLI::Range(8, 1 << 20));
  app.add_option("--doc-stride", answers.doc_stride, "qa: tokens of the text that neighbouring windows share")
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--max-question-length", answers.max_question_length, "qa: tokens of a question")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--max-answer-length", answers.max_answer_length, "qa: tokens of an answer")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--null-threshold", answers.null_threshold,
                 "qa: \"no answer\" must score so much above the best answer");
  app.add_option("--predictions", options.predictions,
                 "file to write what the model says of each example, a line of JSON each");
  app.add_option("--dimensions,--dim", options.dimensions,
                 "of sentence embeddings only the first N numbers (Matryoshka models), of both models")
      ->check(CLI::PositiveNumber);
  declare_exit_options(app, options.exit);
  app.add_option("--limit", options.limit, "the first N examples only")->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "of the resampling")->capture_default_str();
}

// exits: set where texts may leave early (null: they may not).
TaskResult run_task(const Task& task, const std::string& name, const CommonOptions& common,
                    const std::shared_ptr<ThreadPool>& pool,
                    std::shared_ptr<const ExitCounts>* exits = nullptr) {
  LoadedModel loaded =
      load_model(name, common,
                 {"",
                  {OutputKind::kEmbedding, OutputKind::kClassLogits, OutputKind::kTokenLogits,
                   OutputKind::kMaskedLogits, OutputKind::kSpanLogits}},
                 pool);
  if (options.dimensions > 0 && !loaded.predictor->supports(OutputKind::kEmbedding))
    fail(ErrorKind::kInput, "--dimensions: {} gives no sentence embeddings", name);
  TaskInput input = options.input;
  input.limit = static_cast<std::size_t>(options.limit);
  input.classifier = options.classifier == "knn" ? Classifier::kNeighbours : Classifier::kLinear;
  input.pool = pool.get();
  if (exits != nullptr) *exits = leave_early(loaded, name, options.exit);
  TaskResult result = task.run(make_task_model(loaded, "eval", options.dimensions), input);
  if (exits != nullptr && (*exits)->rows.empty())
    fail(ErrorKind::kInput, "task {} asks for no classes, so no text could leave early", task.name);
  return result;
}

Json to_json(const Score& s) {
  return Json::object({{"value", s.value}, {"low", s.interval.low}, {"high", s.interval.high}});
}

// Whether two models say the same of every example.
Json agreement_of(const TaskResult& model, const TaskResult& reference) {
  if (model.outputs.size() != reference.outputs.size())
    fail(ErrorKind::kInput, "the models see different numbers of outputs: {} and {}", model.outputs.size(),
         reference.outputs.size());
  if (model.kind == TaskResult::Outputs::kScores)
    return Json::object({{"pearson", pearson(model.outputs, reference.outputs)}});
  std::size_t equal = 0;
  for (std::size_t i = 0; i < model.outputs.size(); ++i)
    equal += model.outputs[i] == reference.outputs[i] ? 1 : 0;
  return Json::object({{"equal", static_cast<double>(equal) / static_cast<double>(model.outputs.size())}});
}

int run(const CommonOptions& common) {
  const Task* task = find_task(options.task);
  if (task == nullptr) {
    std::vector<std::string> names;
    for (const Task* known : all_tasks()) names.emplace_back(known->name);
    fail(ErrorKind::kInput, "--task \"{}\"; did you mean \"{}\"? There are: {}", options.task,
         nearest(options.task, names), task_names());
  }
  const auto pool = std::make_shared<ThreadPool>(common.threads);
  std::shared_ptr<const ExitCounts> exits;
  const TaskResult result =
      run_task(*task, options.model, common, pool, options.exit.given() ? &exits : nullptr);
  const std::vector<Score> scores = score(result, options.seed);
  if (!options.predictions.empty()) write_predictions(options.predictions, result);
  Json metrics = Json::object(), agreement = nullptr;
  for (const Score& s : scores) metrics.set(s.name, to_json(s));
  TextTable table({"metric", "value", "95 % interval"}, "lrl");
  for (const Score& s : scores) {
    table.add_row({s.name, fmt::format("{:.4f}", s.value),
                   fmt::format("{:.4f} to {:.4f}", s.interval.low, s.interval.high)});
  }
  std::string verdict;
  if (!options.reference.empty()) {
    const TaskResult other = run_task(*task, options.reference, common, pool);
    agreement = agreement_of(result, other);
    Json differences = Json::object();
    for (std::size_t i = 0; i < result.metrics.size(); ++i) {
      const Difference d =
          compare_metric(result.metrics[i], other.metrics[i], result.num_examples, options.seed);
      differences.set(
          result.metrics[i].name,
          Json::object({{"value", d.value}, {"low", d.interval.low}, {"high", d.interval.high}, {"p", d.p}}));
      verdict +=
          fmt::format("{}: {:+.4f} against {} (95 % interval {:+.4f} to {:+.4f}, p = {:.3f}): {}\n",
                      result.metrics[i].name, d.value, options.reference, d.interval.low, d.interval.high,
                      d.p, d.p < 0.05 ? "a real difference" : "no difference that these examples can show");
    }
    agreement.set("differences", differences);
  }
  if (common.json) {
    Json json = Json::object({{"task", task->name},
                              {"data", result.file.string()},
                              {"examples", static_cast<uint64_t>(result.num_examples)},
                              {"reading", result.reading},
                              {"how", result.how},
                              {"main_metric", result.metrics.front().name},
                              {"metrics", metrics},
                              {"agreement", agreement}});
    if (exits != nullptr) json.set("exits", exits->json());
    print_json(json);
    return kDone;
  }
  print_text(fmt::format("{}: {} examples of {} ({}); {}\n", task->name, result.num_examples,
                         result.file.string(), result.reading, result.how));
  print_text(table.str());
  if (exits != nullptr) print_text(exits->text() + "\n");
  if (!verdict.empty()) {
    print_text(verdict);
    const Json* equal = agreement.find("equal");
    print_text(
        equal != nullptr
            ? fmt::format("the same answer for {:.2f} % of the outputs\n", 100 * equal->as_double(""))
            : fmt::format("correlation of the scores {:.6f}\n", agreement.find("pearson")->as_double("")));
  }
  return kDone;
}

}  // namespace

extern const Command eval_command;
const Command eval_command = {"eval", "scores on labelled data, with intervals",
                              "  penjing eval minilm --task stsb --data sts/ --split test\n"
                              "  penjing eval minilm-int8 --task stsb --data sts/ --reference minilm\n"
                              "  penjing eval minilm --task classification --data my-data/ --json",
                              declare, run};

}  // namespace penjing::cli
