#include "eval/evaluation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/json.h"
#include "base/output_file.h"
#include "base/rng.h"

namespace penjing {

#define PENJING_TASK(name) extern const Task name##_task;
#include "eval/tasks.def"
#undef PENJING_TASK

namespace {

constexpr std::array kTasks = {
#define PENJING_TASK(name) &name##_task,
#include "eval/tasks.def"
#undef PENJING_TASK
};

std::vector<std::size_t> all_examples(std::size_t count) {
  std::vector<std::size_t> examples(count);
  std::iota(examples.begin(), examples.end(), std::size_t{0});
  return examples;
}

// Calls visit with `resamples` draws of the examples with replacement, the same ones for the same seed.
void resample(std::size_t count, uint64_t seed, int resamples,
              const std::function<void(std::span<const std::size_t>)>& visit) {
  Rng rng(seed);
  std::vector<std::size_t> draw(count);
  for (int i = 0; i < resamples; ++i) {
    for (std::size_t& example : draw) example = rng.below(count);
    visit(draw);
  }
}

Interval middle_95(std::vector<double> values) {
  std::erase_if(values, [](double v) { return std::isnan(v); });
  if (values.empty()) return {std::nan(""), std::nan("")};
  return {quantile(values, 0.025), quantile(values, 0.975)};
}

}  // namespace

std::span<const Task* const> all_tasks() {
  return kTasks;
}

const Task* find_task(std::string_view name) {
  for (const Task* task : kTasks) {
    if (name == task->name) return task;
    std::string_view aliases = task->aliases;
    while (!aliases.empty()) {
      const std::size_t end = std::min(aliases.find(' '), aliases.size());
      if (name == aliases.substr(0, end)) return task;
      aliases.remove_prefix(std::min(end + 1, aliases.size()));
    }
  }
  return nullptr;
}

Dataset read_test(const TaskInput& input) {
  Dataset data;
  if (!input.split.empty()) {
    data = read_dataset(find_split(input.data, input.split), input.columns);
  } else {
    try {
      data = read_dataset(find_split(input.data, "test"), input.columns);
    } catch (const Error& no_labelled_test) {
      std::error_code error;
      if (no_labelled_test.kind() != ErrorKind::kInput || !std::filesystem::is_directory(input.data, error))
        throw;
      try {
        data = read_dataset(find_split(input.data, "dev"), input.columns);
      } catch (const Error&) {
        throw no_labelled_test;
      }
      data.reading += "; dev, because test has no labels";
    }
  }
  if (input.limit > 0 && data.examples.size() > input.limit) data.examples.resize(input.limit);
  return data;
}

Dataset read_train(const TaskInput& input) {
  if (!input.train.empty()) return read_dataset(find_split(input.train, "train"), input.columns);
  std::error_code error;
  if (!std::filesystem::is_directory(input.data, error)) {
    fail(ErrorKind::kInput,
         "{}: the model has no head of its own, so texts to learn from are wanted: a folder with a train "
         "file, "
         "or --train FILE",
         input.data.string());
  }
  return read_dataset(find_split(input.data, "train"), input.columns);
}

Metric mean_metric(std::string name, std::vector<double> values) {
  return {std::move(name), [values = std::move(values)](std::span<const std::size_t> examples) {
            double sum = 0;
            for (const std::size_t i : examples) sum += values[i];
            return examples.empty() ? 0.0 : sum / static_cast<double>(examples.size());
          }};
}

std::vector<Score> score(const TaskResult& result, uint64_t seed, int resamples) {
  std::vector<Score> scores;
  for (const Metric& metric : result.metrics) {
    std::vector<double> values;
    resample(result.num_examples, seed, resamples,
             [&](std::span<const std::size_t> draw) { values.push_back(metric.value(draw)); });
    scores.push_back(
        {metric.name, metric.value(all_examples(result.num_examples)), middle_95(std::move(values))});
  }
  return scores;
}

Difference compare_metric(const Metric& model, const Metric& reference, std::size_t num_examples,
                          uint64_t seed, int resamples) {
  Difference difference;
  const auto whole = all_examples(num_examples);
  difference.value = model.value(whole) - reference.value(whole);
  std::vector<double> values;
  int below = 0, above = 0;
  resample(num_examples, seed, resamples, [&](std::span<const std::size_t> draw) {
    const double value = model.value(draw) - reference.value(draw);
    values.push_back(value);
    below += value <= 0 ? 1 : 0;
    above += value >= 0 ? 1 : 0;
  });
  difference.interval = middle_95(std::move(values));
  difference.p = std::min(1.0, 2.0 * (std::min(below, above) + 1) / (resamples + 1));
  return difference;
}

void write_predictions(const std::filesystem::path& file, const TaskResult& result) {
  const char* name = result.kind == TaskResult::Outputs::kClasses ? "class" : "score";
  std::string lines;
  const auto add = [&](const char* key, const Json& said) {
    lines += Json::object({{key, said}}).dump() + "\n";
  };
  for (const std::string& text : result.texts) add("answer", text);
  for (const double output : result.texts.empty() ? result.outputs : std::vector<double>()) {
    const bool whole = result.kind == TaskResult::Outputs::kClasses;
    add(name, whole ? Json(static_cast<int64_t>(output)) : Json(output));
  }
  write_text_file(file, lines);
}

}  // namespace penjing
