#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/folder_lock.h"
#include "recipe/measurement.h"
#include "recipe/recipe.h"

namespace penjing {

// A step that was done: its folder is steps/<name>, its key says from what it was made.
struct StepState {
  std::string name;  // "1-quantize"
  std::string key;   // digest of the method, its resolved parameters, its calibration, and the key before it
  double seconds = 0;
  Json details;  // the method's own report
  std::vector<std::string> notes;
  std::string measured_key;  // digest of the key and of what was measured on
  std::optional<Measurement> measured;
};

// What a run has done so far; state.json of its folder, replaced whole after every piece of work.
struct RunState {
  std::string model_key;  // digest of the first model's files
  StepState first;        // the model the recipe starts from, measured
  std::vector<StepState> steps;
};

// The folder of a run:
//   recipe.json          the recipe as it was resolved
//   state.json           this state
//   steps/1-quantize/    a model folder a step
//   work/KEY/            of a step that is being made: what it needs to go on after a kill
//   model -> steps/N-…   the last of them, once all are done
//   report.json, report.html
// One process at a time works in it; the lock goes with the process, however that ends.
class RunFolder {
 public:
  // Creates it, or takes an existing run's. kInput: a folder with other things in it, or one in use.
  static RunFolder create(const std::filesystem::path& path);
  // An existing run's only.
  static RunFolder open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path step_path(const std::string& name) const { return path_ / "steps" / name; }
  std::filesystem::path work_path(const std::string& key) const { return path_ / "work" / key.substr(0, 16); }
  // Removes what a killed run left half-written, steps that are not in the list, and work of other keys.
  void clear_leftovers(const std::vector<std::string>& keep, const std::string& key) const;
  void point_model_at(const std::string& step) const;

 private:
  RunFolder(std::filesystem::path path, FolderLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::filesystem::path path_;
  FolderLock lock_;
};

bool is_run_folder(const std::filesystem::path& path);
bool is_running(const std::filesystem::path& path);  // another process holds its lock
Recipe read_run_recipe(const std::filesystem::path& path);
RunState read_run_state(const std::filesystem::path& path);  // empty when there is none yet
void write_run_state(const std::filesystem::path& path, const RunState& state);

}  // namespace penjing
