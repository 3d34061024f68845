#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/evaluation.h"
#include "eval/text_agreement.h"
#include "recipe/recipe.h"

namespace penjing {

// A model that can be run: what the caller, who has a runtime, opens for a folder.
struct OpenedModel {
  TaskModel tasks;
  std::function<double()> time_once;  // milliseconds of one forward of a text of 32 tokens
  std::shared_ptr<void> owner;        // of what the functions use
};
using OpenModel = std::function<OpenedModel(const std::filesystem::path& folder)>;

// What a step's model is beside the model the recipe starts from.
struct Measurement {
  uint64_t bytes = 0;  // of its weight files
  double size_ratio = 1;
  struct Speed {
    double milliseconds = 0;  // median
    double ratio = 1;         // of medians, the first model's over this one's, rounds in turn
    Interval interval;        // of the ratio
  } speed;
  TextAgreement agreement;
  std::map<std::string, Score> scores;  // "stsb.spearmanr"
};
Json to_json(const Measurement& measurement);
Measurement measurement_from_json(const Json& json, const std::string& where);

// Measures models against a first one: size, speed and scores; and their outputs against those of another
// one, which are taken once.
class Measurer {
 public:
  Measurer(const Recipe& recipe, std::vector<std::string> texts, OpenModel open, std::filesystem::path first,
           ThreadPool* pool);
  // reference: the model whose outputs these should equal; empty: none. Agreement is left out without one,
  // and where the outputs are of another kind or width (another head, a narrower student). may_lack: a task
  // that the model cannot do is left out, as of one that is yet to be trained; else an error.
  Measurement measure(const std::filesystem::path& folder, const std::filesystem::path& reference,
                      bool may_lack);

 private:
  const OpenedModel& first();
  const TextOutputs& outputs_of(const std::filesystem::path& folder, const OpenedModel* opened);
  std::vector<Score> scores_of(const RecipeTask& task, const OpenedModel& model, bool may_lack);
  Measurement::Speed compare_speed(const OpenedModel& model);

  const Recipe& recipe_;
  std::vector<std::string> texts_;
  OpenModel open_;
  std::filesystem::path first_folder_;
  ThreadPool* pool_;
  std::optional<OpenedModel> first_;
  std::map<std::filesystem::path, TextOutputs> outputs_;
};

// One goal against what was measured of the first model and of the last step's.
struct GoalResult {
  double value = 0;  // what was reached, in the goal's own terms
  bool met = false;
};
// kInput when the metric was not measured (a task that does not give it, a model without such outputs).
GoalResult check_goal(const Goal& goal, const Measurement& first, const Measurement& last);

}  // namespace penjing
