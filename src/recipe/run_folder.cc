#include "recipe/run_folder.h"

#include <algorithm>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/output_file.h"

namespace penjing {

namespace {

constexpr std::size_t kMaxStateBytes = 64u << 20;
constexpr const char* kDoes = "is running this recipe";

// Names that base/output_file.h gives to what is not finished.
bool is_temporary(const std::filesystem::path& path) {
  return path.filename().string().find(".tmp-") != std::string::npos;
}

Json to_json(const StepState& step) {
  Json notes = Json::array();
  for (const auto& note : step.notes) notes.push_back(note);
  return Json::object(
      {{"name", step.name},
       {"key", step.key},
       {"seconds", step.seconds},
       {"details", step.details},
       {"notes", notes},
       {"measured_key", step.measured_key},
       {"measured", step.measured.has_value() ? penjing::to_json(*step.measured) : Json(nullptr)}});
}

const Json& member(const Json& object, const char* key, const std::string& where) {
  const Json* value = object.find(key);
  if (value == nullptr) fail(ErrorKind::kFormat, "{}: no \"{}\"", where, key);
  return *value;
}

StepState step_from_json(const Json& json, const std::string& where) {
  StepState step;
  step.name = member(json, "name", where).as_string(where);
  step.key = member(json, "key", where).as_string(where);
  step.seconds = member(json, "seconds", where).as_double(where);
  step.details = member(json, "details", where);
  for (const Json& note : member(json, "notes", where).as_array(where))
    step.notes.push_back(note.as_string(where));
  step.measured_key = member(json, "measured_key", where).as_string(where);
  const Json& measured = member(json, "measured", where);
  if (!measured.is_null()) step.measured = measurement_from_json(measured, where);
  return step;
}

}  // namespace

RunFolder RunFolder::create(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error) && !is_run_folder(path)) {
    // A run that was killed before its recipe was written has no step, and maybe the lock file.
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
      if (entry.path().filename() == FolderLock::kFile || is_temporary(entry.path())) continue;
      if (entry.path().filename() == "steps" && std::filesystem::is_empty(entry.path(), error)) continue;
      fail(ErrorKind::kInput, "{}: exists and is not the folder of a run; choose another name",
           path.string());
    }
    if (error) fail(ErrorKind::kInput, "{}: exists and is not a folder", path.string());
  }
  std::filesystem::create_directories(path / "steps", error);
  if (error) fail(ErrorKind::kIo, "{}: cannot create: {}", path.string(), error.message());
  return {path, FolderLock(path, kDoes)};
}

RunFolder RunFolder::open(const std::filesystem::path& path) {
  if (!is_run_folder(path))
    fail(ErrorKind::kInput, "{}: not the folder of a run (no recipe.json); `penjing run` makes one",
         path.string());
  return {path, FolderLock(path, kDoes)};
}

void RunFolder::clear_leftovers(const std::vector<std::string>& keep, const std::string& key) const {
  std::error_code error;
  std::vector<std::filesystem::path> leftovers;
  for (const auto& entry : std::filesystem::directory_iterator(path_, error)) {
    if (is_temporary(entry.path())) leftovers.push_back(entry.path());
  }
  for (const auto& entry : std::filesystem::directory_iterator(path_ / "steps", error)) {
    const std::string name = entry.path().filename().string();
    if (std::find(keep.begin(), keep.end(), name) == keep.end()) leftovers.push_back(entry.path());
  }
  for (const auto& entry : std::filesystem::directory_iterator(path_ / "work", error)) {
    if (entry.path() != work_path(key)) leftovers.push_back(entry.path());
  }
  for (const auto& leftover : leftovers) std::filesystem::remove_all(leftover, error);
}

void RunFolder::point_model_at(const std::string& step) const {
  const auto link = path_ / "model", temporary = path_ / "model.tmp-link";
  std::error_code error;
  std::filesystem::remove(temporary, error);
  std::filesystem::create_directory_symlink(std::filesystem::path("steps") / step, temporary, error);
  if (!error) std::filesystem::rename(temporary, link, error);
  if (error) fail(ErrorKind::kIo, "{}: cannot link to the last step: {}", link.string(), error.message());
}

bool is_run_folder(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path / "recipe.json", error) &&
         std::filesystem::is_directory(path / "steps", error);
}

bool is_running(const std::filesystem::path& path) {
  return is_locked(path);
}

Recipe read_run_recipe(const std::filesystem::path& path) {
  const auto file = path / "recipe.json";
  return recipe_from_json(Json::parse(read_text_file(file, kMaxStateBytes), file.string()), file.string());
}

RunState read_run_state(const std::filesystem::path& path) {
  const auto file = path / "state.json";
  RunState state;
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return state;
  const Json json = Json::parse(read_text_file(file, kMaxStateBytes), file.string());
  state.model_key = member(json, "model_key", file.string()).as_string(file.string());
  state.first = step_from_json(member(json, "first", file.string()), file.string());
  for (const Json& step : member(json, "steps", file.string()).as_array(file.string()))
    state.steps.push_back(step_from_json(step, file.string()));
  return state;
}

void write_run_state(const std::filesystem::path& path, const RunState& state) {
  Json steps = Json::array();
  for (const StepState& step : state.steps) steps.push_back(to_json(step));
  const Json json =
      Json::object({{"model_key", state.model_key}, {"first", to_json(state.first)}, {"steps", steps}});
  write_text_file(path / "state.json", json.dump(2) + "\n");
}

}  // namespace penjing
