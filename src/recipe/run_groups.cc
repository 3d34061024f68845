#include "recipe/run_groups.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/text_table.h"
#include "eval/statistics.h"

namespace penjing {

namespace {

constexpr RunField kFields[] = {RunField::kModel, RunField::kTask, RunField::kData, RunField::kKind,
                                RunField::kSettings};

// Equal settings have equal texts: members by name, without the seed.
std::string settings_text(const Json& settings) {
  Json::Object members = settings.as_object("settings");
  std::erase_if(members, [](const Json::Member& member) { return member.first == "seed"; });
  std::sort(members.begin(), members.end(),
            [](const Json::Member& a, const Json::Member& b) { return a.first < b.first; });
  return Json(members).dump();
}

std::string value_of(const LedgerRun& run, RunField field) {
  switch (field) {
    case RunField::kModel:
      return run.model;
    case RunField::kTask:
      return run.task;
    case RunField::kData:
      return run.data;
    case RunField::kKind:
      return run.kind;
    case RunField::kSettings:
      return settings_text(run.settings);
  }
  return "";
}

std::vector<std::string> key_of(const LedgerRun& run, const std::vector<RunField>& fields) {
  std::vector<std::string> key;
  for (const RunField field : fields) key.push_back(value_of(run, field));
  return key;
}

GroupScore summarize(const std::string& split, const std::string& name, const std::vector<double>& values) {
  const Spread spread = spread_of(values);
  return {name,        split,           static_cast<int>(values.size()), spread.mean, spread.low,
          spread.high, spread.deviation};
}

}  // namespace

const char* to_string(RunField field) {
  switch (field) {
    case RunField::kModel:
      return "model";
    case RunField::kTask:
      return "task";
    case RunField::kData:
      return "data";
    case RunField::kKind:
      return "kind";
    case RunField::kSettings:
      return "settings";
  }
  return "";
}

std::vector<RunField> parse_run_fields(const std::string& list) {
  std::vector<std::string> names;
  for (const RunField field : kFields) names.emplace_back(to_string(field));
  std::vector<RunField> fields;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    const std::string name = list.substr(at, end - at);
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
      fail(ErrorKind::kInput, "runs cannot be grouped by \"{}\"; did you mean \"{}\"?", name,
           nearest(name, names));
    fields.push_back(kFields[found - names.begin()]);
    at = end + 1;
  }
  return fields;
}

std::vector<RunGroup> group_runs(const std::vector<LedgerRun>& runs, const std::vector<RunField>& fields) {
  const std::vector<RunField> all(std::begin(kFields), std::end(kFields));
  // The latest of each run that was repeated. Without a seed nothing tells whether it was, and all count.
  std::map<std::tuple<std::vector<std::string>, int64_t>, const LedgerRun*> latest;
  std::vector<const LedgerRun*> counted;
  for (const LedgerRun& run : runs) {
    if (run.status != RunStatus::kDone) continue;
    if (!run.seed.has_value()) {
      counted.push_back(&run);
      continue;
    }
    const LedgerRun*& kept = latest[{key_of(run, all), *run.seed}];
    if (kept == nullptr || kept->id < run.id) kept = &run;
  }
  for (const auto& [key, run] : latest) counted.push_back(run);
  std::sort(counted.begin(), counted.end(),
            [](const LedgerRun* a, const LedgerRun* b) { return a->id < b->id; });

  struct Gathered {
    RunGroup group;
    std::set<int64_t> seeds;
    std::set<std::string> settings;
    std::map<std::pair<std::string, std::string>, std::vector<double>> values;  // (split, name)
  };
  std::map<std::vector<std::string>, Gathered> gathered;
  for (const LedgerRun* run : counted) {
    Gathered& of = gathered[key_of(*run, fields)];
    of.group.runs.push_back(run->id);
    if (run->seed.has_value()) of.seeds.insert(*run->seed);
    of.settings.insert(settings_text(run->settings));
    for (const RunScore& score : run->scores) {
      if (std::isfinite(score.value)) of.values[{score.split, score.name}].push_back(score.value);
    }
  }
  std::vector<RunGroup> groups;
  for (auto& [key, of] : gathered) {
    of.group.key = key;
    of.group.seeds.assign(of.seeds.begin(), of.seeds.end());
    of.group.settings = static_cast<int>(of.settings.size());
    for (const auto& [named, values] : of.values)
      of.group.scores.push_back(summarize(named.first, named.second, values));
    groups.push_back(std::move(of.group));
  }
  return groups;
}

std::vector<std::string> differing_settings(const std::vector<Json>& settings) {
  std::vector<std::string> names;  // in the order in which they come
  for (const Json& one : settings) {
    for (const auto& [name, value] : one.as_object("settings")) {
      if (name != "seed" && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  std::erase_if(names, [&settings](const std::string& name) {
    const auto dump = [&name](const Json& one) {
      const Json* value = one.find(name);
      return value == nullptr ? std::string() : value->dump();
    };
    return std::all_of(settings.begin(), settings.end(),
                       [&](const Json& one) { return dump(one) == dump(settings.front()); });
  });
  return names;
}

}  // namespace penjing
