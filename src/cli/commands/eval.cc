// eval: scores of a model on labelled data, with intervals, beside another model.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/error.h"
#include "base/text_table.h"
#include "cli/loaded_model.h"
#include "eval/evaluation.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model, task, data, split = "test", reference;
  ColumnNames columns;
  int64_t limit = 0;
  uint64_t seed = 1;
};
Options options;

std::string task_names() {
  std::string names;
  for (const Task* task : all_tasks()) names += (names.empty() ? "" : ", ") + std::string(task->name);
  return names;
}

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model, "the model to score")->required();
  app.add_option("--task", options.task, "what is measured: " + task_names())->required();
  app.add_option("--data", options.data, "a file, or a folder with train, dev and test (.tsv, .csv, .jsonl)")
      ->required();
  app.add_option("--split", options.split, "which of a folder")->capture_default_str();
  app.add_option("--reference", options.reference,
                 "another model on the same examples: agreement and significance");
  app.add_option("--text-column", options.columns.text, "instead of the guess");
  app.add_option("--pair-column", options.columns.pair, "the second text of a pair");
  app.add_option("--label-column", options.columns.label, "label or score");
  app.add_option("--limit", options.limit, "the first N examples only")->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "of the resampling")->capture_default_str();
}

// The seam between tasks and this program's runtime.
TaskModel make_task_model(LoadedModel& loaded) {
  TaskModel model;
  const auto run = [&loaded](const std::vector<Encoding>& encodings, OutputKind kind) {
    std::vector<std::vector<float>> rows(encodings.size());
    predict_all(*loaded.predictor, encodings, kind, "eval",
                [&](std::size_t i, const float* values, int64_t count, int64_t dim) {
                  rows[i].assign(values, values + count * dim);
                });
    return rows;
  };
  EncodeOptions how;
  how.max_length = loaded.max_length;
  if (loaded.predictor->supports(OutputKind::kEmbedding)) {
    model.embed = [&loaded, run, how](const std::vector<std::string>& texts) {
      std::vector<Encoding> encodings;
      for (const auto& text : texts) encodings.push_back(loaded.tokenizer->encode(text, how));
      return run(encodings, OutputKind::kEmbedding);
    };
  }
  if (loaded.predictor->supports(OutputKind::kClassLogits)) {
    model.labels = loaded.model.id2label;
    const HeadSpec* head = loaded.model.description.find_head(HeadKind::kSequenceClassifier);
    for (int64_t i = static_cast<int64_t>(model.labels.size()); head != nullptr && i < head->projection.out;
         ++i)
      model.labels.push_back(std::to_string(i));
    model.classify = [&loaded, run, how](const std::vector<std::string>& texts,
                                         const std::vector<std::string>& pairs) {
      std::vector<Encoding> encodings;
      for (std::size_t i = 0; i < texts.size(); ++i) {
        encodings.push_back(pairs.empty() ? loaded.tokenizer->encode(texts[i], how)
                                          : loaded.tokenizer->encode_pair(texts[i], pairs[i], how));
      }
      return run(encodings, OutputKind::kClassLogits);
    };
  }
  return model;
}

Dataset read_part(const std::string& split) {
  Dataset data = read_dataset(find_split(options.data, split), options.columns);
  if (options.limit > 0 && data.examples.size() > static_cast<std::size_t>(options.limit) &&
      split == options.split)
    data.examples.resize(static_cast<std::size_t>(options.limit));
  return data;
}

TaskResult run_task(const Task& task, const std::string& name, const TaskData& data,
                    const CommonOptions& common) {
  LoadedModel loaded = load_model(name, common, {"", {OutputKind::kEmbedding, OutputKind::kClassLogits}});
  return task.run(make_task_model(loaded), data);
}

bool has_own_head(const std::string& name, const CommonOptions& common) {
  const LoadedModel loaded = load_model(name, common, {"", {OutputKind::kClassLogits}});
  return loaded.predictor->supports(OutputKind::kClassLogits);
}

Json to_json(const Score& s) {
  return Json::object({{"value", s.value}, {"low", s.interval.low}, {"high", s.interval.high}});
}

int run(const CommonOptions& common) {
  const Task* task = find_task(options.task);
  if (task == nullptr) {
    std::vector<std::string> names;
    for (const Task* known : all_tasks()) names.emplace_back(known->name);
    fail(ErrorKind::kInput, "--task \"{}\"; did you mean \"{}\"? There are: {}", options.task,
         nearest(options.task, names), task_names());
  }
  TaskData data;
  data.test = read_part(options.split);
  const bool needs_train =
      task->uses_train && (!has_own_head(options.model, common) ||
                           (!options.reference.empty() && !has_own_head(options.reference, common)));
  if (needs_train) {
    std::error_code error;
    if (!std::filesystem::is_directory(options.data, error))
      fail(ErrorKind::kInput, "{}: the model has no head of its own, so a folder with a train file is wanted",
           options.data);
    data.train = read_part("train");
  }
  const TaskResult result = run_task(*task, options.model, data, common);
  const std::vector<Score> scores = score(result, options.seed);
  Json metrics = Json::object(), agreement = nullptr;
  for (const Score& s : scores) metrics.set(s.name, to_json(s));
  TextTable table({"metric", "value", "95 % interval"}, "lrl");
  for (const Score& s : scores) {
    table.add_row({s.name, fmt::format("{:.4f}", s.value),
                   fmt::format("{:.4f} to {:.4f}", s.interval.low, s.interval.high)});
  }
  std::string verdict;
  if (!options.reference.empty()) {
    const TaskResult other = run_task(*task, options.reference, data, common);
    std::size_t equal = 0;
    for (std::size_t i = 0; i < result.outputs.size(); ++i)
      equal += result.outputs[i] == other.outputs[i] ? 1 : 0;
    agreement =
        Json::object({{"pearson", pearson(result.outputs, other.outputs)},
                      {"equal", static_cast<double>(equal) / static_cast<double>(result.outputs.size())}});
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
    print_json(Json::object({{"task", task->name},
                             {"data", data.test.file.string()},
                             {"examples", static_cast<uint64_t>(result.num_examples)},
                             {"reading", data.test.reading},
                             {"how", result.how},
                             {"main_metric", result.main_metric},
                             {"metrics", metrics},
                             {"agreement", agreement}}));
    return kDone;
  }
  print_text(fmt::format("{}: {} examples of {} ({}); {}\n", task->name, result.num_examples,
                         data.test.file.string(), data.test.reading, result.how));
  print_text(table.str());
  if (!verdict.empty()) {
    print_text(verdict);
    print_text(fmt::format("outputs equal for {:.2f} % of the examples, correlation {:.4f}\n",
                           100 * agreement.find("equal")->as_double(""),
                           agreement.find("pearson")->as_double("")));
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
