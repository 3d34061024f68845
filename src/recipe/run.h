#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "recipe/run_folder.h"

namespace penjing {

// What a run needs of its caller.
struct RunServices {
  std::function<MethodContext(const Model& model, const CalibrationSource& source)> make_context;
  OpenModel open;
  ThreadPool* pool = nullptr;
  std::function<void(const std::string&)> note;  // a line for the user
};

struct RunResult {
  RunState state;
  std::vector<GoalResult> goals;  // as in the recipe
  bool goals_met = true;
};

// Runs a recipe in `folder`, or goes on with it: a step whose folder is there and whose key is the same is
// kept; from the first that differs on, steps are made anew. Every step's model is measured against the first
// one. Killed at any moment, it goes on from the last finished step and gives the same bytes: a step depends
// on its input, its parameters and its calibration texts alone, and its folder appears whole or not at all.
RunResult run_recipe(const Recipe& recipe, const RunFolder& folder, const RunServices& services);

// For `status`: what of the recipe is done.
struct StepStatus {
  std::string name;
  const char* state = "to do";  // "done", "to measure", "to do"
  double seconds = 0;
};
std::vector<StepStatus> run_status(const Recipe& recipe, const std::filesystem::path& folder,
                                   const RunState& state);

}  // namespace penjing
