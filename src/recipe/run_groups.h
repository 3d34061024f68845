#pragma once

#include <optional>
#include <string>
#include <vector>

#include "recipe/run_ledger.h"

namespace penjing {

// What runs can be grouped by.
enum class RunField { kModel, kTask, kData, kKind, kSettings };
const char* to_string(RunField field);
std::vector<RunField> parse_run_fields(const std::string& list);  // "model,task"; kInput for an unknown name

// A score of the runs of a group.
struct GroupScore {
  std::string name, split;
  int count = 0;
  double mean = 0, low = 0, high = 0;  // low, high: the least and the greatest run
  std::optional<double> deviation;     // of a sample: sum of squares / (count - 1); none for one run
};

struct RunGroup {
  std::vector<std::string> key;  // a text a field; settings as JSON
  std::vector<int64_t> runs;     // ids, ascending
  std::vector<int64_t> seeds;    // ascending, each once
  int settings = 0;              // how many different ones are in it
  std::vector<GroupScore> scores;
};

// Groups of the runs that are done, by `fields`; a group's scores by split and name. A run that repeats
// another (same model, task, data, kind, settings and seed) stands in for it: seeds are what is averaged
// over, and a repeated seed would count twice.
std::vector<RunGroup> group_runs(const std::vector<LedgerRun>& runs, const std::vector<RunField>& fields);

// Names of the settings that are not the same in all.
std::vector<std::string> differing_settings(const std::vector<Json>& settings);

}  // namespace penjing
