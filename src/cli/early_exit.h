#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "cli/loaded_model.h"

namespace CLI {
class App;
}

namespace penjing::cli {

// --exit-entropy and --exit of commands that classify.
struct ExitOptions {
  std::optional<double> entropy;
  std::optional<int64_t> layer;
  bool given() const { return entropy || layer; }
};
void declare_exit_options(CLI::App& app, ExitOptions& options);

// Where the rows of a model with exits left, and what that saved.
struct ExitCounts {
  int64_t num_layers = 0;
  std::map<int64_t, int64_t> rows;             // by the layers that they went through
  int64_t operations = 0, all_operations = 0;  // spent; of the same rows through the model without exits

  int64_t num_rows() const;
  double mean_layers() const;
  double share() const;
  Json json() const;
  std::string text() const;  // a line
};

// The model's class logits leave early from then on. kInput, naming the model, where it has no such exit.
std::shared_ptr<const ExitCounts> leave_early(LoadedModel& loaded, const std::string& name,
                                              const ExitOptions& options);

}  // namespace penjing::cli
