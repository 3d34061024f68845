#include "recipe/run.h"

#include <chrono>

#include "base/error.h"
#include "base/hash.h"
#include "base/output_file.h"
#include "compress/apply.h"
#include "compress/calibration_texts.h"
#include "data/text_lines.h"

namespace penjing {

namespace {

std::string digest(const std::string& text) {
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

std::string digest_of_file(const std::filesystem::path& path) {
  return path.empty() ? "" : sha256_file(path);
}

// Of all files of a folder: their names and contents.
std::string digest_of_folder(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    if (entry.is_regular_file(error))
      files[std::filesystem::relative(entry.path(), folder, error).string()] = sha256_file(entry.path());
  }
  std::string all;
  for (const auto& [name, hash] : files) all += hash + " " + name + "\n";
  return digest(all);
}

std::string digest_of_data(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error) ? digest_of_folder(path) : digest_of_file(path);
}

// Of a model that a step reads, or of a file of answers; empty where there is none: the step will say so.
std::string digest_of_model(const std::string& name) {
  std::error_code error;
  if (std::filesystem::is_regular_file(name, error)) return sha256_file(name);
  try {
    return digest_of_folder(resolve_model(name));
  } catch (const Error&) {
    return "";
  }
}

std::string step_name(const Recipe& recipe, std::size_t i) {
  return fmt::format("{}-{}", i + 1, recipe.steps[i].method->name);
}

// Of what the files are that a step reads by its parameters.
Json digests_of_paths(const RecipeStep& step) {
  Json digests = Json::object();
  for (const ParamInfo& info : step.method->params()) {
    const Json& value = *step.params.find(info.name);
    std::string all;
    if (info.type == ParamInfo::Type::kPath) all = digest_of_data(value.as_string(info.name));
    if (info.type == ParamInfo::Type::kPathList) {
      for (const Json& path : value.as_array(info.name))
        all += digest_of_data(path.as_string(info.name)) + " ";
    }
    if (!all.empty()) digests.set(info.name, all);
  }
  return digests;
}

// Keys of all steps, each from those of what it begins with and what teaches it.
std::vector<std::string> step_keys(const Recipe& recipe, const std::string& model_key) {
  const Json calibration = Json::object({{"texts", digest_of_file(recipe.calibration.texts)},
                                         {"samples", recipe.calibration.samples},
                                         {"statistics", digest_of_file(recipe.calibration.statistics)}});
  std::vector<std::string> keys;
  for (const RecipeStep& step : recipe.steps) {
    const std::string& before =
        step.start == RecipeStep::kModel ? model_key : keys[static_cast<std::size_t>(step.start)];
    Json made_from =
        Json::object({{"before", before}, {"method", step.method->name}, {"params", step.params}});
    Json teachers = Json::array();
    for (const std::size_t number : steps_read(step)) teachers.push_back(keys[number]);
    if (!teachers.as_array("teachers").empty()) made_from.set("teachers", teachers);
    Json others = Json::array();
    for (const std::string& name : others_read(step)) others.push_back(digest_of_model(name));
    if (!others.as_array("others").empty()) made_from.set("models", others);
    if (step.method->needs == Needs::kCalibrationText) made_from.set("calibration", calibration);
    const Json files = digests_of_paths(step);
    if (!files.as_object("files").empty()) made_from.set("files", files);
    keys.push_back(digest(made_from.dump()));
  }
  return keys;
}

// Of everything that a measurement depends on beside the model.
std::string measuring_digest(const Recipe& recipe) {
  Json tasks = Json::array();
  for (const RecipeTask& task : recipe.tasks) {
    tasks.push_back(Json::object({{"task", task.task},
                                  {"data", digest_of_data(task.data)},
                                  {"split", task.split},
                                  {"limit", task.limit}}));
  }
  return digest(Json::object({{"data", digest_of_file(recipe.data)},
                              {"limit", recipe.data_limit},
                              {"tasks", tasks},
                              {"seed", recipe.seed}})
                    .dump());
}

std::vector<std::string> measuring_texts(const Recipe& recipe) {
  std::vector<std::string> texts;
  if (recipe.data.empty()) {
    const auto own = builtin_calibration_texts();
    return {own.begin(), own.end()};
  }
  TextLines lines(recipe.data);
  for (std::string text; static_cast<int64_t>(texts.size()) < recipe.data_limit && lines.next(text);) {
    if (!text.empty()) texts.push_back(text);
  }
  if (texts.empty()) fail(ErrorKind::kInput, "{}: no text in it", recipe.data.string());
  return texts;
}

// How many steps of the state still hold: same key, folder there.
std::size_t count_kept(const std::vector<std::string>& keys, const std::filesystem::path& folder,
                       const RunState& state) {
  std::size_t kept = 0;
  std::error_code error;
  while (kept < state.steps.size() && kept < keys.size() && state.steps[kept].key == keys[kept] &&
         std::filesystem::is_directory(folder / "steps" / state.steps[kept].name, error))
    ++kept;
  return kept;
}

class Runner {
 public:
  Runner(const Recipe& recipe, const RunFolder& folder, const RunServices& services)
      : recipe_(recipe),
        folder_(folder),
        services_(services),
        measuring_(measuring_digest(recipe)),
        measurer_(recipe, measuring_texts(recipe), services.open, recipe.model, services.pool) {}

  RunState run() {
    RunState state = read_run_state(folder_.path());
    const std::string model_key = digest_of_folder(recipe_.model);
    if (state.model_key != model_key) {
      state = RunState();
      state.model_key = state.first.key = model_key;
      state.first.name = "0-original";
    }
    const auto keys = step_keys(recipe_, model_key);
    state.steps.resize(count_kept(keys, folder_.path(), state));
    std::vector<std::string> kept;
    for (const StepState& step : state.steps) kept.push_back(step.name);
    // Of the step that comes next, what was kept to go on with it.
    folder_.clear_leftovers(kept, kept.size() < keys.size() ? keys[kept.size()] : "");
    write_run_state(folder_.path(), state);
    const std::size_t trained = steps_to_last_training();
    measure(state, state.first, recipe_.model, recipe_.model, trained > 0);
    std::vector<std::filesystem::path> references;  // of what begins with each step's result
    for (std::size_t i = 0; i < recipe_.steps.size(); ++i) {
      if (i < state.steps.size()) {
        say(fmt::format("{}: done before, kept", state.steps[i].name));
      } else {
        state.steps.push_back(make_step(i, keys[i]));
        write_run_state(folder_.path(), state);
      }
      const RecipeStep& step = recipe_.steps[i];
      const std::filesystem::path made = folder_.step_path(state.steps[i].name);
      const std::filesystem::path reference = reference_of(step, references);
      measure(state, state.steps[i], made, reference, i + 1 < trained);
      references.push_back(trains(step) ? made : reference);
    }
    folder_.point_model_at(state.steps.back().name);
    return state;
  }

 private:
  void say(const std::string& line) const {
    if (services_.note) services_.note(line);
  }

  StepState make_step(std::size_t i, const std::string& key) {
    const RecipeStep& step = recipe_.steps[i];
    StepState state;
    state.name = step_name(recipe_, i);
    state.key = key;
    say(fmt::format("{}: {}", state.name, step.method->summary));
    const auto begin = std::chrono::steady_clock::now();
    const Model source = read_model(model_of(step.start));
    MethodContext context = services_.make_context(source, recipe_.calibration);
    context.note = services_.note;
    context.work_folder = folder_.work_path(key);
    context.first_model = recipe_.model;
    const Json params =
        with_models(step, [&](std::size_t number) { return model_of(static_cast<int>(number)).string(); });
    if (services_.pool != nullptr) context.threads = services_.pool->num_threads();
    const AppliedMethod applied =
        apply_method(source, *step.method, params, context, folder_.step_path(state.name), &step.params);
    std::error_code error;
    std::filesystem::remove_all(context.work_folder, error);
    state.details = applied.report.details;
    state.notes = applied.report.notes;
    state.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return state;
  }

  std::filesystem::path model_of(int step) const {
    if (step == RecipeStep::kModel) return recipe_.model;
    return folder_.step_path(step_name(recipe_, static_cast<std::size_t>(step)));
  }

  // What a step's result is compared with. What training makes is another model: its outputs are none's, or
  // those of its (first) teacher; what begins with it is compared with it.
  std::filesystem::path reference_of(const RecipeStep& step,
                                     const std::vector<std::filesystem::path>& references) const {
    if (step.method->needs == Needs::kGradients) return {};
    if (step.method->needs == Needs::kTeacher) {
      const std::vector<std::size_t> teachers = teaching_steps(step);
      return teachers.empty() ? std::filesystem::path(recipe_.model)
                              : model_of(static_cast<int>(teachers.front()));
    }
    return step.start == RecipeStep::kModel ? std::filesystem::path(recipe_.model)
                                            : references[static_cast<std::size_t>(step.start)];
  }

  static bool trains(const RecipeStep& step) {
    return step.method->needs == Needs::kGradients || step.method->needs == Needs::kTeacher;
  }

  // Steps up to and with the last that trains; before it, a model may lack the head for a task.
  std::size_t steps_to_last_training() const {
    std::size_t count = recipe_.steps.size();
    while (count > 0 && !trains(recipe_.steps[count - 1])) --count;
    return count;
  }

  void measure(RunState& state, StepState& step, const std::filesystem::path& model,
               const std::filesystem::path& reference, bool may_lack) {
    const std::string key = digest(step.key + measuring_);
    if (step.measured.has_value() && step.measured_key == key) return;
    say(fmt::format("{}: measuring", step.name));
    step.measured = measurer_.measure(model, reference, may_lack);
    step.measured_key = key;
    write_run_state(folder_.path(), state);
  }

  const Recipe& recipe_;
  const RunFolder& folder_;
  const RunServices& services_;
  std::string measuring_;
  Measurer measurer_;
};

}  // namespace

RunResult run_recipe(const Recipe& recipe, const RunFolder& folder, const RunServices& services) {
  Recipe resolved = recipe;
  resolved.model = std::filesystem::absolute(resolve_model(recipe.model)).lexically_normal().string();
  write_text_file(folder.path() / "recipe.json", to_json(resolved).dump(2) + "\n");
  RunResult result;
  result.state = Runner(resolved, folder, services).run();
  for (const Goal& goal : resolved.goals) {
    result.goals.push_back(
        check_goal(goal, *result.state.first.measured, *result.state.steps.back().measured));
    result.goals_met = result.goals_met && result.goals.back().met;
  }
  return result;
}

std::vector<StepStatus> run_status(const Recipe& recipe, const std::filesystem::path& folder,
                                   const RunState& state) {
  const auto keys = step_keys(recipe, state.model_key);
  const std::size_t kept = count_kept(keys, folder, state);
  std::vector<StepStatus> all;
  for (std::size_t i = 0; i < recipe.steps.size(); ++i) {
    StepStatus status;
    status.name = step_name(recipe, i);
    if (i < kept) {
      status.state = state.steps[i].measured.has_value() ? "done" : "to measure";
      status.seconds = state.steps[i].seconds;
    }
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace penjing
