#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "compress/method.h"

namespace penjing {

// A recipe: what is done to which model, how the result is measured, and what it must reach. Read from JSON
// with comments; docs/recipes.md describes every key, recipe_schema() (recipe/schema.h) is the same as JSON
// Schema.
struct RecipeStep {
  static constexpr int kModel = -1;
  const Method* method = nullptr;
  int start = kModel;  // which step's result it begins with; kModel: the recipe's model
  Json params;         // resolved: every parameter there
};
// The steps whose results teach this one ("teacher": "steps.0,steps.2"), in the order in which they are
// named.
std::vector<std::size_t> teaching_steps(const RecipeStep& step);
// Those and the others whose results it reads besides what it starts from ("mix_vocabulary").
std::vector<std::size_t> steps_read(const RecipeStep& step);
// What else those parameters name: models, files of a teacher's answers.
std::vector<std::string> others_read(const RecipeStep& step);
// The step's parameters with what `model` says in the place of each.
Json with_models(const RecipeStep& step, const std::function<std::string(std::size_t step)>& model);

struct RecipeTask {
  std::string task;
  std::filesystem::path data;
  std::string split;
  int64_t limit = 0;
};

struct Goal {
  enum class Type { kThreshold, kMaxDegradation, kPercentMinImprovement } type = Type::kThreshold;
  std::string metric;  // "size_ratio", "speed_ratio", "cosine_mean", "cosine_min", "top1", "stsb.spearmanr"
  double value = 0;
};

struct Recipe {
  std::string model;           // a name or an absolute folder
  std::filesystem::path data;  // texts that agreement is measured on; empty: those that ship with Penjing
  int64_t data_limit = 1000;
  CalibrationSource calibration;
  std::vector<RecipeStep> steps;
  std::vector<RecipeTask> tasks;
  std::vector<Goal> goals;
  uint64_t seed = 1;  // of the resampling behind intervals
};

// Reads a recipe and the ones it extends (at most 8, no circle): keys of a file replace those of the file it
// extends, objects are merged key by key, lists are replaced whole. Then `overrides` ("steps.0.scheme=w7a8";
// the value is JSON, or else a string). Relative paths are relative to the file they stand in, those of
// overrides to the current folder. Everything is checked here: keys (an unknown one is an error that names
// the nearest), types, ranges, methods and their parameters and needs, tasks, goals, that files are there.
// kInput.
Recipe load_recipe(const std::filesystem::path& path, const std::vector<std::string>& overrides = {});

// The recipe as JSON that load_recipe reads back to the same: every default written out, paths absolute.
Json to_json(const Recipe& recipe);
Recipe recipe_from_json(const Json& json, const std::string& name);

const char* to_string(Goal::Type type);  // "threshold", "max-degradation", "percent-min-improvement"

}  // namespace penjing
