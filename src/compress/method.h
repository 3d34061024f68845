#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "compress/calibration.h"
#include "model/model.h"
#include "predict/predictor.h"

namespace penjing {

// The seam of every compression method. A method is one file in compress/methods/ (with gradients:
// train/methods/, distill/methods/), one line in methods.def, one test. CLI verbs, recipe schema, docs and
// Python are generated from the record and its parameters: the declaration below is the only one.

// One typed parameter. The value lives in the method's Params struct; `type` and `choices` describe it.
struct ParamInfo {
  // kPath, kPathList: files or folders; a recipe's are relative to the recipe, and their contents are part of
  // what a step is made from. kJson: any value, which whoever reads it checks.
  enum class Type { kBool, kInt, kDouble, kString, kChoice, kStringList, kPath, kPathList, kJson };
  std::string name;  // "scheme": recipe key; on the command line --scheme
  Type type = Type::kString;
  Json default_value;
  std::vector<std::string> choices;  // kChoice
  double min = 0, max = 0;           // kInt, kDouble; equal: no range
  std::string help;
};

// kCalibrationText: may look at texts, by its parameters; there are always some
// (compress/calibration_texts.h).
// kGradients: trains; kTeacher: trains so as to say what another model says.
enum class Needs { kNothing, kCalibrationText, kGradients, kTeacher };

// What a method may use beside the model and its parameters.
// Makes a predictor of one output of a model.
using NewPredictor = std::function<std::unique_ptr<Predictor>(const Model& model, OutputKind kind)>;

struct MethodContext {
  CalibrationRun run_calibration;  // the calibration texts through a model; empty: there are none
  std::string calibration_source;  // "300 texts of FILE"
  std::filesystem::path
      statistics;  // of an earlier run (write_statistics), to use instead of texts; or empty
  // The same in memory (ranges found in training); null: none.
  const Calibration* known_statistics = nullptr;
  NewPredictor new_predictor;  // on the threads of this run; empty: the program has no runtime
  std::function<void(const std::string&)> note;  // a line for the user; may be empty
  // Where long work keeps what lets it go on after a kill; whoever gives it removes it when the step is done.
  std::filesystem::path work_folder;
  int threads = 0;                    // 0: all that the process may use
  std::filesystem::path first_model;  // that a recipe starts from; empty: no recipe
};

// What it did, for compression.json and the printed table.
struct MethodReport {
  Json details = Json::object();
  std::vector<std::string> notes;
};

struct Method {
  const char* name;  // "quantize" (unique: recipe key "method")
  // Command-line verb: "quantize"; several methods of one verb are told apart by --method. Null: a command of
  // its own stands for it.
  const char* verb;
  const char* summary;  // one line
  const char* help;     // a paragraph: formula, paper, what it leaves alone; examples
  Needs needs;
  std::vector<ParamInfo> (*params)();
  // Resolved parameters in (every key present, checked), a new model out. Throws Error.
  Model (*apply)(const Model& model, const Json& params, MethodContext& context, MethodReport& report);
};

std::span<const Method* const> all_methods();  // in the order of methods.def, then those that were added
// Methods of the modules on LibTorch: the program that has them adds them before it reads a command line.
void add_methods(std::span<const Method* const> methods);
// True for a method of methods.def, whether this program has it or not.
bool is_listed_method(std::string_view name);
const Method* find_method(std::string_view name);

// Fills defaults, checks types, ranges and choices. An unknown key is a kInput error naming the nearest.
Json resolve_params(const Method& method, const Json& given);
Json resolve_params(const std::string& where, std::span<const ParamInfo> params, const Json& given);

}  // namespace penjing
