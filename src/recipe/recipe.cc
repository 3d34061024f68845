#include "recipe/recipe.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/parse.h"
#include "base/text_table.h"
#include "compress/apply.h"
#include "eval/evaluation.h"

namespace penjing {

namespace {

constexpr std::size_t kMaxRecipeBytes = 4u << 20;
constexpr std::size_t kMaxFiles = 8;
constexpr int64_t kMaxLimit = int64_t{1} << 40;

void check_keys(const Json& object, const std::string& where, const std::vector<std::string>& known) {
  for (const auto& member : object.as_object(where)) {
    if (std::find(known.begin(), known.end(), member.first) != known.end()) continue;
    fail(ErrorKind::kInput, "{}: unknown key \"{}\"; did you mean \"{}\"?", where, member.first,
         nearest(member.first, known));
  }
}

std::string string_of(const Json& object, const char* key, const std::string& where, const char* otherwise) {
  const Json* value = object.find(key);
  return value == nullptr ? otherwise : value->as_string(where + ": " + key);
}

int64_t count_of(const Json& object, const char* key, const std::string& where, int64_t otherwise,
                 int64_t min) {
  const Json* value = object.find(key);
  if (value == nullptr) return otherwise;
  const int64_t count = value->as_int(where + ": " + key);
  if (count < min || count > kMaxLimit)
    fail(ErrorKind::kInput, "{}: {}: {}, wanted {} or more", where, key, count, min);
  return count;
}

// Parameters that name models, with commas between.
constexpr const char* kModelParams[] = {"teacher", "mix_vocabulary"};

// A model is a name unless it is written as a path; a file of answers is a path.
bool is_path(std::string_view model) {
  return model.starts_with("./") || model.starts_with("../") || model.ends_with(".npy") ||
         model.ends_with(".jsonl");
}

// Such a parameter with what `change` makes of each name.
std::string change_names(const std::string& names,
                         const std::function<std::string(const std::string&)>& change) {
  std::string changed;
  for (const std::string& name : split_at(names, ',')) changed += (changed.empty() ? "" : ",") + change(name);
  return changed;
}

void visit_step_paths(Json& step, const std::function<void(Json&)>& visit) {
  const Json* name = step.is_object() ? step.find("method") : nullptr;
  const Method* method =
      name != nullptr && name->is_string() ? find_method(name->as_string("method")) : nullptr;
  if (method == nullptr) return;  // read_steps says so
  for (const ParamInfo& info : method->params()) {
    Json* value = step.find(info.name);
    if (value == nullptr) continue;
    if (info.type == ParamInfo::Type::kPath && value->is_string()) visit(*value);
    if (info.type != ParamInfo::Type::kPathList || !value->is_array()) continue;
    for (Json& item : value->as_array(info.name)) {
      if (item.is_string()) visit(item);
    }
  }
  for (const char* param : kModelParams) {
    Json* models = step.find(param);
    if (models == nullptr || !models->is_string()) continue;
    *models = change_names(models->as_string(param), [&](const std::string& given) {
      Json model = given;
      if (is_path(given)) visit(model);
      return model.as_string(param);
    });
  }
}

// The places of paths in a recipe, so that each file's own are made absolute before files are merged.
void visit_paths(Json& recipe, const std::function<void(Json&)>& visit) {
  const auto member = [&](Json& object, const char* key) {
    Json* value = object.find(key);
    if (value != nullptr && value->is_string()) visit(*value);
  };
  member(recipe, "data");
  if (Json* calibration = recipe.find("calibration"); calibration != nullptr && calibration->is_object()) {
    member(*calibration, "texts");
    member(*calibration, "statistics");
  }
  if (Json* steps = recipe.find("steps"); steps != nullptr && steps->is_array()) {
    for (Json& step : steps->as_array("steps")) visit_step_paths(step, visit);
  }
  if (Json* tasks = recipe.find("eval"); tasks != nullptr && tasks->is_array()) {
    for (Json& task : tasks->as_array("eval")) member(task, "data");
  }
}

void make_paths_absolute(Json& recipe, const std::filesystem::path& folder) {
  const auto absolute = [&](Json& value) {
    const std::filesystem::path path = value.as_string("path");
    if (!path.empty() && path.is_relative()) value = Json((folder / path).lexically_normal().string());
  };
  visit_paths(recipe, absolute);
  if (Json* model = recipe.find("model"); model != nullptr && model->is_string()) {
    if (is_path(model->as_string("model"))) absolute(*model);
  }
}

Json merge(const Json& base, const Json& top) {
  if (!base.is_object() || !top.is_object()) return top;
  Json merged = base;
  for (const auto& [key, value] : top.as_object("recipe")) {
    const Json* old = merged.find(key);
    merged.set(key, old == nullptr ? value : merge(*old, value));
  }
  return merged;
}

Json read_merged(const std::filesystem::path& path, std::vector<std::filesystem::path>& chain) {
  std::error_code error;
  const auto file = std::filesystem::weakly_canonical(path, error);
  if (std::find(chain.begin(), chain.end(), file) != chain.end())
    fail(ErrorKind::kInput, "{}: extends itself by a circle", path.string());
  chain.push_back(file);
  if (chain.size() > kMaxFiles)
    fail(ErrorKind::kInput, "{}: more than {} recipes extend each other", path.string(), kMaxFiles);
  JsonLimits limits;
  limits.allow_comments = true;
  Json recipe = Json::parse(read_text_file(file, kMaxRecipeBytes), path.string(), limits);
  (void)recipe.as_object(path.string());
  make_paths_absolute(recipe, file.parent_path());
  const Json* base = recipe.find("extends");
  if (base == nullptr) return recipe;
  const std::filesystem::path other = base->as_string(path.string() + ": extends");
  Json merged = merge(read_merged(other.is_relative() ? file.parent_path() / other : other, chain), recipe);
  merged.erase("extends");
  return merged;
}

// The value at a dotted path; numbers are places in lists.
Json* descend(Json& recipe, const std::string& path, const std::string& override_text) {
  Json* at = &recipe;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    const std::string key = path.substr(begin, end - begin);
    begin = end + 1;
    if (at->is_array()) {
      auto& items = at->as_array(path);
      std::size_t index = 0;
      const auto [stopped, error] = std::from_chars(key.data(), key.data() + key.size(), index);
      if (error != std::errc() || stopped != key.data() + key.size() || index >= items.size())
        fail(ErrorKind::kInput, "--set {}: \"{}\" is none of the {} places of the list", override_text, key,
             items.size());
      at = &items[index];
    } else {
      if (at->is_null()) *at = Json::object();
      if (!at->is_object() || key.empty())
        fail(ErrorKind::kInput, "--set {}: there is nothing below \"{}\"", override_text, key);
      if (at->find(key) == nullptr) at->set(key, nullptr);
      at = at->find(key);
    }
  }
  return at;
}

void apply_override(Json& recipe, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    fail(ErrorKind::kInput, "--set {}: wanted KEY=VALUE, for example steps.0.scheme=w7a8", text);
  const std::string value = text.substr(equals + 1);
  Json parsed;
  try {
    parsed = Json::parse(value, "value");
  } catch (const Error&) {
    parsed = Json(value);
  }
  *descend(recipe, text.substr(0, equals), text) = std::move(parsed);
}

// 3 for "steps.3".
std::optional<std::size_t> step_number(std::string_view name) {
  constexpr std::string_view kSteps = "steps.";
  if (!name.starts_with(kSteps)) return std::nullopt;
  name.remove_prefix(kSteps.size());
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

std::vector<std::string> models_named(const RecipeStep& step, const char* param) {
  const Json* names = step.params.find(param);
  return names == nullptr ? std::vector<std::string>() : split_at(names->as_string(param), ',');
}

void add_steps(const std::vector<std::string>& names, std::vector<std::size_t>& numbers) {
  for (const std::string& name : names) {
    if (const auto number = step_number(name)) numbers.push_back(*number);
  }
}

void require_earlier(std::size_t number, std::size_t step, const char* key) {
  if (number < step) return;
  fail(ErrorKind::kInput, "{}: steps.{}: wanted a step before it", key, number);
}

// Of step `step`, by default the result of the one before.
int read_start(const Json& item, std::size_t step) {
  const std::string name = string_of(item, "start", "step", "");
  if (name.empty()) return static_cast<int>(step) - 1;
  if (name == "model") return RecipeStep::kModel;
  const auto number = step_number(name);
  if (!number) fail(ErrorKind::kInput, "start: \"{}\"; wanted \"model\" or \"steps.N\"", name);
  require_earlier(*number, step, "start");
  return static_cast<int>(*number);
}

std::vector<RecipeStep> read_steps(const Json& list, const std::string& name) {
  std::vector<RecipeStep> steps;
  std::vector<std::string> methods;
  for (const Method* method : all_methods()) methods.emplace_back(method->name);
  for (const Json& item : list.as_array(name + ": steps")) {
    const std::string where = fmt::format("{}: steps.{}", name, steps.size());
    (void)item.as_object(where);
    const std::string method_name = string_of(item, "method", where, "");
    RecipeStep step;
    step.method = find_method(method_name);
    if (step.method == nullptr && is_listed_method(method_name)) {
      fail(ErrorKind::kUnsupported,
           "{}: {} trains, which needs penjing-train: build Penjing with -DPENJING_TRAIN=ON and LibTorch",
           where, method_name);
    }
    if (step.method == nullptr)
      fail(ErrorKind::kInput, "{}: method \"{}\"; did you mean \"{}\"?", where, method_name,
           nearest(method_name, methods));
    Json given = item;
    given.erase("method");
    given.erase("start");
    try {
      step.start = read_start(item, steps.size());
      step.params = resolve_params(*step.method, given);
      for (const char* param : kModelParams) {
        std::vector<std::size_t> numbers;
        add_steps(models_named(step, param), numbers);
        for (const std::size_t number : numbers) require_earlier(number, steps.size(), param);
      }
    } catch (const Error& error) {
      throw Error(error.kind(), where + ": " + error.what());
    }
    steps.push_back(std::move(step));
  }
  if (steps.empty()) fail(ErrorKind::kInput, "{}: steps: none", name);
  return steps;
}

std::vector<RecipeTask> read_tasks(const Json& list, const std::string& name) {
  std::vector<RecipeTask> tasks;
  std::vector<std::string> known;
  for (const Task* task : all_tasks()) known.emplace_back(task->name);
  for (const Json& item : list.as_array(name + ": eval")) {
    const std::string where = fmt::format("{}: eval.{}", name, tasks.size());
    check_keys(item, where, {"task", "data", "split", "limit"});
    RecipeTask task;
    task.task = string_of(item, "task", where, "");
    if (find_task(task.task) == nullptr)
      fail(ErrorKind::kInput, "{}: task \"{}\"; did you mean \"{}\"?", where, task.task,
           nearest(task.task, known));
    task.data = string_of(item, "data", where, "");
    std::error_code error;
    if (task.data.empty() || !std::filesystem::exists(task.data, error))
      fail(ErrorKind::kInput, "{}: data: \"{}\" is not there", where, task.data.string());
    task.split = string_of(item, "split", where, "");
    task.limit = count_of(item, "limit", where, 0, 0);
    tasks.push_back(std::move(task));
  }
  return tasks;
}

std::vector<Goal> read_goals(const Json& list, const std::vector<RecipeTask>& tasks,
                             const std::string& name) {
  std::vector<Goal> goals;
  constexpr Goal::Type kTypes[] = {Goal::Type::kThreshold, Goal::Type::kMaxDegradation,
                                   Goal::Type::kPercentMinImprovement};
  for (const Json& item : list.as_array(name + ": goals")) {
    const std::string where = fmt::format("{}: goals.{}", name, goals.size());
    check_keys(item, where, {"metric", "type", "value"});
    Goal goal;
    goal.metric = string_of(item, "metric", where, "");
    std::vector<std::string> known = {"size_ratio", "speed_ratio", "cosine_mean", "cosine_min", "top1"};
    bool found = std::find(known.begin(), known.end(), goal.metric) != known.end();
    for (const RecipeTask& task : tasks) {
      known.push_back(task.task + ".METRIC");
      found =
          found || (goal.metric.starts_with(task.task + ".") && goal.metric.size() > task.task.size() + 1);
    }
    if (!found)
      fail(ErrorKind::kInput,
           "{}: metric \"{}\"; did you mean \"{}\"? TASK.METRIC wants its task in \"eval\"", where,
           goal.metric, nearest(goal.metric, known));
    const std::string type = string_of(item, "type", where, "threshold");
    const auto* match = std::find_if(std::begin(kTypes), std::end(kTypes),
                                     [&](Goal::Type t) { return type == to_string(t); });
    if (match == std::end(kTypes))
      fail(ErrorKind::kInput, "{}: type \"{}\"; wanted threshold, max-degradation or percent-min-improvement",
           where, type);
    goal.type = *match;
    const Json* value = item.find("value");
    if (value == nullptr) fail(ErrorKind::kInput, "{}: no value", where);
    goal.value = value->as_double(where + ": value");
    goals.push_back(goal);
  }
  return goals;
}

void check_file(const std::filesystem::path& file, const std::string& where) {
  std::error_code error;
  if (!file.empty() && !std::filesystem::is_regular_file(file, error))
    fail(ErrorKind::kInput, "{}: \"{}\" is not a file", where, file.string());
}

Recipe read_recipe(const Json& json, const std::string& name) {
  check_keys(json, name, {"model", "data", "data_limit", "calibration", "steps", "eval", "goals", "seed"});
  Recipe recipe;
  recipe.model = string_of(json, "model", name, "");
  if (recipe.model.empty()) fail(ErrorKind::kInput, "{}: model: none", name);
  recipe.data = string_of(json, "data", name, "");
  check_file(recipe.data, name + ": data");
  recipe.data_limit = count_of(json, "data_limit", name, recipe.data_limit, 1);
  if (const Json* calibration = json.find("calibration"); calibration != nullptr) {
    const std::string where = name + ": calibration";
    check_keys(*calibration, where, {"texts", "samples", "statistics"});
    recipe.calibration.texts = string_of(*calibration, "texts", where, "");
    recipe.calibration.samples = count_of(*calibration, "samples", where, recipe.calibration.samples, 1);
    recipe.calibration.statistics = string_of(*calibration, "statistics", where, "");
    check_file(recipe.calibration.texts, where + ": texts");
    check_file(recipe.calibration.statistics, where + ": statistics");
  }
  const Json none = Json::array();
  const auto list = [&](const char* key) { return json.find(key) == nullptr ? none : *json.find(key); };
  recipe.steps = read_steps(list("steps"), name);
  recipe.tasks = read_tasks(list("eval"), name);
  recipe.goals = read_goals(list("goals"), recipe.tasks, name);
  recipe.seed = static_cast<uint64_t>(count_of(json, "seed", name, 1, 0));
  return recipe;
}

}  // namespace

std::vector<std::size_t> teaching_steps(const RecipeStep& step) {
  std::vector<std::size_t> numbers;
  if (step.method->needs == Needs::kTeacher) add_steps(models_named(step, "teacher"), numbers);
  return numbers;
}

std::vector<std::size_t> steps_read(const RecipeStep& step) {
  std::vector<std::size_t> numbers;
  for (const char* param : kModelParams) add_steps(models_named(step, param), numbers);
  return numbers;
}

std::vector<std::string> others_read(const RecipeStep& step) {
  std::vector<std::string> names;
  for (const char* param : kModelParams) {
    for (const std::string& name : models_named(step, param)) {
      if (!name.empty() && !step_number(name)) names.push_back(name);
    }
  }
  return names;
}

Json with_models(const RecipeStep& step, const std::function<std::string(std::size_t step)>& model) {
  Json params = step.params;
  for (const char* param : kModelParams) {
    const Json* names = params.find(param);
    if (names == nullptr) continue;
    params.set(param, change_names(names->as_string(param), [&](const std::string& name) {
                 const auto number = step_number(name);
                 return number ? model(*number) : name;
               }));
  }
  return params;
}

const char* to_string(Goal::Type type) {
  switch (type) {
    case Goal::Type::kThreshold:
      return "threshold";
    case Goal::Type::kMaxDegradation:
      return "max-degradation";
    case Goal::Type::kPercentMinImprovement:
      return "percent-min-improvement";
  }
  return "";
}

// A recipe is the user's own input: what is wrong with it is a usage error, whatever it is.
Recipe recipe_from_json(const Json& json, const std::string& name) {
  try {
    return read_recipe(json, name);
  } catch (const Error& error) {
    throw Error(error.kind() == ErrorKind::kFormat ? ErrorKind::kInput : error.kind(), error.what());
  }
}

Recipe load_recipe(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  try {
    std::vector<std::filesystem::path> chain;
    Json json = read_merged(path, chain);
    for (const std::string& text : overrides) apply_override(json, text);
    make_paths_absolute(json, std::filesystem::current_path());
    return read_recipe(json, path.string());
  } catch (const Error& error) {
    throw Error(error.kind() == ErrorKind::kFormat ? ErrorKind::kInput : error.kind(), error.what());
  }
}

Json to_json(const Recipe& recipe) {
  Json steps = Json::array(), tasks = Json::array(), goals = Json::array();
  for (const RecipeStep& step : recipe.steps) {
    Json item = Json::object({{"method", step.method->name}});
    item.set("start", step.start == RecipeStep::kModel ? "model" : fmt::format("steps.{}", step.start));
    for (const auto& [key, value] : step.params.as_object("params")) item.set(key, value);
    steps.push_back(std::move(item));
  }
  for (const RecipeTask& task : recipe.tasks) {
    tasks.push_back(Json::object(
        {{"task", task.task}, {"data", task.data.string()}, {"split", task.split}, {"limit", task.limit}}));
  }
  for (const Goal& goal : recipe.goals) {
    goals.push_back(
        Json::object({{"metric", goal.metric}, {"type", to_string(goal.type)}, {"value", goal.value}}));
  }
  return Json::object({{"model", recipe.model},
                       {"data", recipe.data.string()},
                       {"data_limit", recipe.data_limit},
                       {"calibration", Json::object({{"texts", recipe.calibration.texts},
                                                     {"samples", recipe.calibration.samples},
                                                     {"statistics", recipe.calibration.statistics}})},
                       {"steps", steps},
                       {"eval", tasks},
                       {"goals", goals},
                       {"seed", recipe.seed}});
}

}  // namespace penjing
