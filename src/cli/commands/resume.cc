// resume: goes on with a run that was stopped.
#include <CLI/CLI.hpp>

#include "cli/recipe_services.h"

namespace penjing::cli {

namespace {

std::string folder_name;

void declare(CLI::App& app) {
  app.add_option("DIR", folder_name, "the folder of a run")->required();
}

int run(const CommonOptions& common) {
  const RunFolder folder = RunFolder::open(folder_name);
  return run_in_folder(read_run_recipe(folder_name), folder, common);
}

}  // namespace

extern const Command resume_command;
const Command resume_command = {"resume", "goes on with a run that was stopped", "  penjing resume run",
                                declare, run};

}  // namespace penjing::cli
