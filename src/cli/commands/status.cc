// status: what of a run is done.
#include <CLI/CLI.hpp>

#include "base/error.h"
#include "base/text_table.h"
#include "cli/command.h"
#include "recipe/run.h"

namespace penjing::cli {

namespace {

std::string folder;

void declare(CLI::App& app) {
  app.add_option("DIR", folder, "the folder of a run")->required();
}

int run(const CommonOptions& common) {
  if (!is_run_folder(folder)) fail(ErrorKind::kInput, "{}: not the folder of a run (no recipe.json)", folder);
  const Recipe recipe = read_run_recipe(folder);
  const RunState state = read_run_state(folder);
  const bool running = is_running(folder);
  const auto steps = run_status(recipe, folder, state);
  bool done = true;
  for (const StepStatus& step : steps) done = done && step.state == std::string("done");
  const char* summary = running ? "running" : done ? "done" : "stopped";
  if (common.json) {
    Json list = Json::array();
    for (const StepStatus& step : steps)
      list.push_back(Json::object({{"name", step.name}, {"state", step.state}, {"seconds", step.seconds}}));
    print_json(Json::object({{"state", summary}, {"model", recipe.model}, {"steps", list}}));
    return kDone;
  }
  TextTable table({"step", "state", "seconds"}, "llr");
  for (const StepStatus& step : steps)
    table.add_row({step.name, step.state, step.seconds > 0 ? fmt::format("{:.1f}", step.seconds) : ""});
  print_text(fmt::format("{}: {}, from {}\n", folder, summary, recipe.model));
  print_text(table.str());
  if (!running && !done) print_text(fmt::format("next: penjing resume {}\n", folder));
  return kDone;
}

}  // namespace

extern const Command status_command;
const Command status_command = {"status", "what of a run is done",
                                "  penjing status run\n  penjing status run --json", declare, run};

}  // namespace penjing::cli
