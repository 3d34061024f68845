#pragma once

#include <memory>

#include "cli/command.h"
#include "recipe/run.h"

namespace penjing::cli {

// Runs a recipe in a folder with this program's runtime, writes report.json and report.html there and prints
// the table (or the report with --json). kDone, or kGoalNotMet.
int run_in_folder(const Recipe& recipe, const RunFolder& folder, const CommonOptions& common);

}  // namespace penjing::cli
