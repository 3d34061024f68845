#include "recipe/measurement.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "eval/statistics.h"
#include "io/model_folder.h"

namespace penjing {

namespace {

constexpr int kRounds = 11;
constexpr double kRoundMilliseconds = 20;  // of one model, so that a round is above the clock's noise

// The median of as many forwards as fill a round.
double time_round(const OpenedModel& model) {
  std::vector<double> times;
  double total = 0;
  while (total < kRoundMilliseconds || times.size() < 3) {
    times.push_back(model.time_once());
    total += times.back();
  }
  return quantile(times, 0.5);
}

Json optional_number(const std::optional<double>& value) {
  return value.has_value() ? Json(*value) : Json(nullptr);
}

std::optional<double> read_optional(const Json& object, const char* key, const std::string& where) {
  const Json* value = object.find(key);
  if (value == nullptr || value->is_null()) return std::nullopt;
  return value->as_double(where + ": " + key);
}

double read_number(const Json& object, const char* key, const std::string& where) {
  const Json* value = object.find(key);
  if (value == nullptr) fail(ErrorKind::kFormat, "{}: no \"{}\"", where, key);
  return value->is_null() ? std::nan("") : value->as_double(where + ": " + key);
}

bool lower_is_better(const std::string& metric) {
  return metric.ends_with("pseudo_perplexity");
}

}  // namespace

Json to_json(const Measurement& m) {
  Json scores = Json::object();
  for (const auto& [name, score] : m.scores) {
    scores.set(
        name,
        Json::object({{"value", score.value}, {"low", score.interval.low}, {"high", score.interval.high}}));
  }
  return Json::object({{"bytes", m.bytes},
                       {"size_ratio", m.size_ratio},
                       {"milliseconds", m.speed.milliseconds},
                       {"speed_ratio", m.speed.ratio},
                       {"speed_low", m.speed.interval.low},
                       {"speed_high", m.speed.interval.high},
                       {"output", m.agreement.output},
                       {"rows", m.agreement.rows},
                       {"cosine_mean", optional_number(m.agreement.cosine_mean)},
                       {"cosine_min", optional_number(m.agreement.cosine_min)},
                       {"top1", optional_number(m.agreement.top1)},
                       {"scores", scores}});
}

Measurement measurement_from_json(const Json& json, const std::string& where) {
  Measurement m;
  m.bytes = static_cast<uint64_t>(read_number(json, "bytes", where));
  m.size_ratio = read_number(json, "size_ratio", where);
  m.speed = {read_number(json, "milliseconds", where),
             read_number(json, "speed_ratio", where),
             {read_number(json, "speed_low", where), read_number(json, "speed_high", where)}};
  for (const char* output : {"class logits", "embeddings", "masked words"}) {
    const Json* found = json.find("output");
    if (found != nullptr && found->is_string() && found->as_string(where) == output)
      m.agreement.output = output;
  }
  m.agreement.rows = static_cast<int64_t>(read_number(json, "rows", where));
  m.agreement.cosine_mean = read_optional(json, "cosine_mean", where);
  m.agreement.cosine_min = read_optional(json, "cosine_min", where);
  m.agreement.top1 = read_optional(json, "top1", where);
  if (const Json* scores = json.find("scores"); scores != nullptr) {
    for (const auto& [name, score] : scores->as_object(where + ": scores")) {
      m.scores[name] = {name,
                        read_number(score, "value", where),
                        {read_number(score, "low", where), read_number(score, "high", where)}};
    }
  }
  return m;
}

Measurer::Measurer(const Recipe& recipe, std::vector<std::string> texts, OpenModel open,
                   std::filesystem::path first, ThreadPool* pool)
    : recipe_(recipe),
      texts_(std::move(texts)),
      open_(std::move(open)),
      first_folder_(std::move(first)),
      pool_(pool) {}

const OpenedModel& Measurer::first() {
  if (!first_.has_value()) first_ = open_(first_folder_);
  return *first_;
}

const TextOutputs& Measurer::outputs_of(const std::filesystem::path& folder, const OpenedModel* opened) {
  const auto found = outputs_.find(folder);
  if (found != outputs_.end()) return found->second;
  const OpenedModel model = opened != nullptr ? *opened : open_(folder);
  return outputs_[folder] = outputs_on_texts(model.tasks, texts_);
}

Measurement::Speed Measurer::compare_speed(const OpenedModel& model) {
  std::vector<double> theirs, ours;
  (void)first().time_once();
  (void)model.time_once();
  for (int round = 0; round < kRounds; ++round) {
    check_interrupt();
    theirs.push_back(time_round(first()));
    ours.push_back(time_round(model));
  }
  Measurement::Speed speed;
  speed.milliseconds = quantile(ours, 0.5);
  speed.ratio = quantile(theirs, 0.5) / speed.milliseconds;
  speed.interval = bootstrap_ratio(theirs, ours, recipe_.seed);
  return speed;
}

std::vector<Score> Measurer::scores_of(const RecipeTask& task, const OpenedModel& model, bool may_lack) {
  TaskInput input;
  input.data = task.data;
  input.split = task.split;
  input.limit = static_cast<std::size_t>(task.limit);
  input.pool = pool_;
  try {
    return score(find_task(task.task)->run(model.tasks, input), recipe_.seed);
  } catch (const Error& error) {
    const bool lacks = error.kind() == ErrorKind::kInput || error.kind() == ErrorKind::kUnsupported;
    if (!may_lack || !lacks) throw;
    return {};
  }
}

Measurement Measurer::measure(const std::filesystem::path& folder, const std::filesystem::path& reference,
                              bool may_lack) {
  Measurement m;
  m.bytes = measure_folder(folder).weights;
  m.size_ratio = static_cast<double>(measure_folder(first_folder_).weights) /
                 static_cast<double>(std::max<uint64_t>(m.bytes, 1));
  const bool is_first = folder == first_folder_;
  const OpenedModel opened = is_first ? first() : open_(folder);
  m.speed = compare_speed(opened);
  if (is_first) m.speed.ratio = m.speed.interval.low = m.speed.interval.high = 1;
  if (!reference.empty()) {
    const TextOutputs& own = outputs_of(folder, &opened);  // a map's places stay where they are
    const TextOutputs& wanted = outputs_of(reference, nullptr);
    if (are_comparable(wanted, own)) m.agreement = compare_outputs(wanted, own);
  }
  for (const RecipeTask& task : recipe_.tasks) {
    for (Score& s : scores_of(task, opened, may_lack)) {
      s.name = task.task + "." + s.name;
      m.scores[s.name] = s;
    }
  }
  return m;
}

GoalResult check_goal(const Goal& goal, const Measurement& first, const Measurement& last) {
  const auto value_of = [&](const Measurement& m) -> double {
    if (goal.metric == "size_ratio") return m.size_ratio;
    if (goal.metric == "speed_ratio") return m.speed.ratio;
    std::optional<double> value;
    if (goal.metric == "cosine_mean") value = m.agreement.cosine_mean;
    if (goal.metric == "cosine_min") value = m.agreement.cosine_min;
    if (goal.metric == "top1") value = m.agreement.top1;
    if (const auto found = m.scores.find(goal.metric); found != m.scores.end()) value = found->second.value;
    if (!value.has_value()) {
      std::string known;
      for (const auto& entry : m.scores) known += " " + entry.first;
      fail(ErrorKind::kInput, "goal {}: not among what was measured of this model ({}{})", goal.metric,
           m.agreement.output, known);
    }
    return *value;
  };
  const double before = value_of(first), after = value_of(last);
  const double sign = lower_is_better(goal.metric) ? -1 : 1;
  GoalResult result;
  switch (goal.type) {
    case Goal::Type::kThreshold:
      result.value = after;
      result.met = sign * after >= sign * goal.value;
      break;
    case Goal::Type::kMaxDegradation:
      result.value = sign * (before - after);
      result.met = result.value <= goal.value;
      break;
    case Goal::Type::kPercentMinImprovement:
      result.value = 100 * sign * (after - before) / std::max(std::fabs(before), 1e-12);
      result.met = result.value >= goal.value;
      break;
  }
  return result;
}

}  // namespace penjing
