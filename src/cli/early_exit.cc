#include "cli/early_exit.h"

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "model/exits.h"
#include "runtime/early_exit.h"

namespace penjing::cli {

void declare_exit_options(CLI::App& app, ExitOptions& options) {
  CLI::Option* entropy =
      app.add_option("--exit-entropy", options.entropy,
                     "of a model with exits (penjing byot): a text leaves at the first one whose entropy is "
                     "below this share of the largest possible; 0: none does")
          ->check(CLI::Range(0.0, 1.0));
  app.add_option("--exit", options.layer, "all leave behind so many layers, where the model has an exit")
      ->check(CLI::PositiveNumber)
      ->excludes(entropy);
}

int64_t ExitCounts::num_rows() const {
  int64_t sum = 0;
  for (const auto& [layer, count] : rows) sum += count;
  return sum;
}

double ExitCounts::mean_layers() const {
  double sum = 0;
  for (const auto& [layer, count] : rows) sum += static_cast<double>(layer * count);
  return sum / static_cast<double>(std::max<int64_t>(1, num_rows()));
}

double ExitCounts::share() const {
  return static_cast<double>(operations) / static_cast<double>(std::max<int64_t>(1, all_operations));
}

Json ExitCounts::json() const {
  Json by_layers = Json::object();
  for (const auto& [layer, count] : rows) by_layers.set(std::to_string(layer), count);
  return Json::object({{"layers", num_layers},
                       {"mean_layers", mean_layers()},
                       {"operations_share", share()},
                       {"rows_by_layers", by_layers}});
}

std::string ExitCounts::text() const {
  std::string text = fmt::format("{:.2f} of {} layers a text, {:.1f} % of the operations; left behind layer",
                                 mean_layers(), num_layers, 100 * share());
  const char* before = " ";
  for (const auto& [layer, count] : rows) {
    text += fmt::format("{}{}: {}", before, layer, count);
    before = ", ";
  }
  return text;
}

std::shared_ptr<const ExitCounts> leave_early(LoadedModel& loaded, const std::string& name,
                                              const ExitOptions& options) {
  const Description& description = loaded.model.description;
  const std::vector<ExitSpec> exits = read_exits(loaded.model);
  if (exits.empty())
    fail(ErrorKind::kInput, "{}: the model has no exits where texts could leave (penjing byot trains them)",
         name);
  auto counts = std::make_shared<ExitCounts>();
  counts->num_layers = description.num_layers;
  EarlyExit exit{options.entropy.value_or(0), options.layer.value_or(0), {}};
  // Told to leave at one exit, a row meets no other classifier.
  const int64_t first_met = exit.layer > 0 ? exit.layer : 1;
  // By tokens and layers; -1: through the model without exits.
  std::map<std::pair<int64_t, int64_t>, int64_t> known;
  exit.on_row = [counts, description, exits, first_met, known](int64_t tokens, int64_t layers) mutable {
    int64_t& spent = known[{tokens, layers}];
    int64_t& all = known[{tokens, -1}];
    if (spent == 0) spent = flops_until(description, exits, tokens, layers, first_met);
    if (all == 0) all = flops_until(description, exits, tokens, description.num_layers, 0);
    ++counts->rows[layers];
    counts->operations += spent;
    counts->all_operations += all;
  };
  loaded.predictor = new_exiting_session(*loaded.engine, loaded.pool, std::move(exit));
  return counts;
}

}  // namespace penjing::cli
