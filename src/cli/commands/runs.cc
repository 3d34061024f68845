// runs: what was trained and run on this machine, from the ledger (recipe/run_ledger.h).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <ctime>

#include "base/error.h"
#include "base/text_table.h"
#include "cli/command.h"
#include "recipe/run_groups.h"
#include "recipe/run_ledger.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string action, by;
  std::vector<int64_t> ids;
  RunFilter filter;
  int64_t limit = 20;
};
Options options;

void declare(CLI::App& app) {
  app.add_option(
         "ACTION", options.action,
         "list: one line a run, latest first. show: all that is known of one. compare: runs side by side "
         "or, without ids, mean and deviation over seeds (list|show|compare)")
      ->required()
      ->check(CLI::IsMember({std::string("list"), std::string("show"), std::string("compare")}));
  app.add_option("ID", options.ids, "numbers of runs, as `list` shows them")->check(CLI::PositiveNumber);
  app.add_option("--task", options.filter.task, "only runs of this task");
  app.add_option("--model", options.filter.model, "only runs from this model");
  app.add_option("--kind", options.filter.kind,
                 "only runs of this kind (finetune|pretrain|distill|theseus|mutual|run)");
  app.add_option("--limit", options.limit, "list: the latest so many; 0 = all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option(
      "--by", options.by,
      "compare: what makes a group, of model, task, data, kind, settings; default model,task,settings");
}

Json or_null(const std::optional<double>& value) {
  return value.has_value() ? Json(*value) : Json(nullptr);
}

Json to_json(const LedgerRun& run) {
  Json inputs = Json::object(), scores = Json::array();
  for (const InputHash& input : run.inputs) inputs.set(input.path, input.sha256);
  for (const RunScore& score : run.scores) {
    scores.push_back(Json::object({{"split", score.split},
                                   {"name", score.name},
                                   {"value", score.value},
                                   {"low", or_null(score.low)},
                                   {"high", or_null(score.high)}}));
  }
  return Json::object({{"id", run.id},
                       {"kind", run.kind},
                       {"name", run.name},
                       {"status", to_string(run.status)},
                       {"message", run.message},
                       {"started", run.started},
                       {"ended", or_null(run.ended)},
                       {"seconds", run.seconds},
                       {"joules", or_null(run.joules)},
                       {"model", run.model},
                       {"task", run.task},
                       {"data", run.data},
                       {"seed", run.seed.has_value() ? Json(*run.seed) : Json(nullptr)},
                       {"settings", run.settings},
                       {"inputs", inputs},
                       {"version", run.version},
                       {"commit", run.commit},
                       {"host", run.host},
                       {"cpu", run.cpu},
                       {"instruction_set", run.instruction_set},
                       {"threads", run.threads},
                       {"output", run.output},
                       {"scores", scores}});
}

std::string format_time(double seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min);
}

std::string format_score(const RunScore& score) {
  std::string text = fmt::format("{:.4f}", score.value);
  if (score.low.has_value() && score.high.has_value())
    text += fmt::format(" [{:.4f}, {:.4f}]", *score.low, *score.high);
  return text;
}

std::string label(const std::string& split, const std::string& name) {
  return split.empty() ? name : split + " " + name;
}

std::string seed_of(const LedgerRun& run) {
  return run.seed.has_value() ? std::to_string(*run.seed) : "";
}

std::string setting(const Json& settings, const std::string& name) {
  const Json* value = settings.find(name);
  if (value == nullptr) return "";
  return value->is_string() ? value->as_string(name) : value->dump();
}

int list(const RunLedger& ledger, bool json) {
  if (options.limit > 0) options.filter.limit = options.limit;
  const auto runs = ledger.list_runs(options.filter);
  if (json) {
    Json all = Json::array();
    for (const LedgerRun& run : runs) all.push_back(to_json(run));
    print_json(Json::object({{"runs", all}}));
    return kDone;
  }
  TextTable table({"id", "started (UTC)", "kind", "status", "model", "task", "seed", "seconds", "scores"},
                  "rlllllrrl");
  for (const LedgerRun& run : runs) {
    std::string scores;
    for (const RunScore& score : run.scores)
      scores +=
          fmt::format("{}{} {:.4f}", scores.empty() ? "" : ", ", label(score.split, score.name), score.value);
    table.add_row({std::to_string(run.id), format_time(run.started), run.kind, to_string(run.status),
                   run.model, run.task, seed_of(run), fmt::format("{:.1f}", run.seconds), scores});
  }
  print_text(runs.empty() ? "no such run\n" : table.str());
  return kDone;
}

int show(const LedgerRun& run, bool json) {
  if (json) {
    print_json(to_json(run));
    return kDone;
  }
  TextTable table({"", fmt::format("run {}", run.id)}, "ll");
  const auto add = [&table](const std::string& name, const std::string& value) {
    if (!value.empty()) table.add_row({name, value});
  };
  add("kind", run.kind);
  add("name", run.name);
  add("status", std::string(to_string(run.status)) + (run.message.empty() ? "" : ": " + run.message));
  add("started (UTC)", format_time(run.started));
  if (run.ended.has_value()) add("ended (UTC)", format_time(*run.ended));
  add("seconds", fmt::format("{:.1f}", run.seconds));
  add("joules", run.joules.has_value() ? fmt::format("{:.0f}", *run.joules) : "not readable here");
  add("model", run.model);
  add("task", run.task);
  add("data", run.data);
  add("seed", seed_of(run));
  for (const auto& [name, value] : run.settings.as_object("settings"))
    add("settings: " + name, setting(run.settings, name));
  for (const InputHash& input : run.inputs) add("sha256 of " + input.path, input.sha256);
  add("penjing", run.version + (run.commit.empty() ? "" : ", commit " + run.commit));
  add("host", run.host);
  add("cpu", fmt::format("{}, {}, {} threads", run.cpu, run.instruction_set, run.threads));
  add("output", run.output);
  for (const RunScore& score : run.scores) add(label(score.split, score.name), format_score(score));
  print_text(table.str());
  return kDone;
}

int compare_runs(const std::vector<LedgerRun>& runs, bool json) {
  std::vector<Json> settings;
  for (const LedgerRun& run : runs) settings.push_back(run.settings);
  const auto differing = differing_settings(settings);
  if (json) {
    Json all = Json::array(), names = Json::array();
    for (const LedgerRun& run : runs) all.push_back(to_json(run));
    for (const auto& name : differing) names.push_back(name);
    print_json(Json::object({{"runs", all}, {"differing_settings", names}}));
    return kDone;
  }
  std::vector<std::string> header = {"run"};
  for (const LedgerRun& run : runs) header.push_back(std::to_string(run.id));
  TextTable table(header, std::string(runs.size() + 1, 'l'));
  const auto add = [&](const std::string& name, const auto& value_of) {
    std::vector<std::string> cells = {name};
    for (const LedgerRun& run : runs) cells.push_back(value_of(run));
    table.add_row(std::move(cells));
  };
  add("status", [](const LedgerRun& run) { return to_string(run.status); });
  add("model", [](const LedgerRun& run) { return run.model; });
  add("task", [](const LedgerRun& run) { return run.task; });
  add("data", [](const LedgerRun& run) { return run.data; });
  add("seed", seed_of);
  for (const auto& name : differing)
    add(name, [&name](const LedgerRun& run) { return setting(run.settings, name); });
  add("seconds", [](const LedgerRun& run) { return fmt::format("{:.1f}", run.seconds); });
  std::vector<std::string> labels;
  for (const LedgerRun& run : runs) {
    for (const RunScore& score : run.scores) {
      const std::string text = label(score.split, score.name);
      if (std::find(labels.begin(), labels.end(), text) == labels.end()) labels.push_back(text);
    }
  }
  for (const auto& text : labels) {
    add(text, [&text](const LedgerRun& run) {
      for (const RunScore& score : run.scores) {
        if (label(score.split, score.name) == text) return format_score(score);
      }
      return std::string();
    });
  }
  print_text(table.str());
  return kDone;
}

Json to_json(const RunGroup& group, const std::vector<RunField>& fields) {
  Json key = Json::object(), runs = Json::array(), seeds = Json::array(), scores = Json::array();
  for (std::size_t i = 0; i < fields.size(); ++i) {
    key.set(to_string(fields[i]),
            fields[i] == RunField::kSettings ? Json::parse(group.key[i], "settings") : Json(group.key[i]));
  }
  for (const int64_t id : group.runs) runs.push_back(id);
  for (const int64_t seed : group.seeds) seeds.push_back(seed);
  for (const GroupScore& score : group.scores) {
    scores.push_back(Json::object({{"split", score.split},
                                   {"name", score.name},
                                   {"count", score.count},
                                   {"mean", score.mean},
                                   {"deviation", or_null(score.deviation)},
                                   {"low", score.low},
                                   {"high", score.high}}));
  }
  return Json::object(
      {{"group", key}, {"runs", runs}, {"seeds", seeds}, {"settings", group.settings}, {"scores", scores}});
}

// What of a group's settings tells it from the other groups: "epochs=3 learning_rate=2e-05".
std::string short_settings(const std::string& text, const std::vector<std::string>& differing) {
  const Json settings = Json::parse(text, "settings");
  std::string line;
  for (const auto& name : differing)
    line += fmt::format("{}{}={}", line.empty() ? "" : " ", name, setting(settings, name));
  return line.empty() ? "all the same" : line;
}

int compare_groups(const RunLedger& ledger, bool json) {
  const auto fields = parse_run_fields(options.by.empty() ? "model,task,settings" : options.by);
  const auto groups = group_runs(ledger.list_runs(options.filter), fields);
  if (json) {
    Json all = Json::array();
    for (const RunGroup& group : groups) all.push_back(to_json(group, fields));
    print_json(Json::object({{"groups", all}}));
    return kDone;
  }
  const auto at =
      static_cast<std::size_t>(std::find(fields.begin(), fields.end(), RunField::kSettings) - fields.begin());
  std::vector<std::string> header, differing;
  if (at < fields.size()) {
    std::vector<Json> settings;
    for (const RunGroup& group : groups) settings.push_back(Json::parse(group.key[at], "settings"));
    differing = differing_settings(settings);
  }
  for (const RunField field : fields) header.emplace_back(to_string(field));
  for (const char* name : {"score", "runs", "mean", "deviation", "least", "greatest"})
    header.emplace_back(name);
  TextTable table(header, std::string(fields.size() + 1, 'l') + "rrrrr");
  bool mixed = false;
  for (const RunGroup& group : groups) {
    mixed = mixed || group.settings > 1;
    for (const GroupScore& score : group.scores) {
      std::vector<std::string> cells = group.key;
      if (at < fields.size()) cells[at] = short_settings(group.key[at], differing);
      cells.push_back(label(score.split, score.name));
      cells.push_back(std::to_string(score.count));
      cells.push_back(fmt::format("{:.4f}", score.mean));
      cells.push_back(score.deviation.has_value() ? fmt::format("{:.4f}", *score.deviation) : "");
      cells.push_back(fmt::format("{:.4f}", score.low));
      cells.push_back(fmt::format("{:.4f}", score.high));
      table.add_row(std::move(cells));
    }
  }
  print_text(groups.empty() ? "no such run is done\n" : table.str());
  if (mixed) print_text("some groups mix runs of different settings: add settings to --by to part them\n");
  return kDone;
}

int run(const CommonOptions& common) {
  const bool listing = options.action == "list", showing = options.action == "show";
  if (showing && options.ids.size() != 1) fail(ErrorKind::kInput, "show wants the number of one run");
  if (listing && !options.ids.empty()) fail(ErrorKind::kInput, "list takes no numbers; see show and compare");
  if (!options.by.empty() && (options.action != "compare" || !options.ids.empty()))
    fail(ErrorKind::kInput, "--by is for compare without numbers of runs");
  const auto path = ledger_path();
  if (!std::filesystem::exists(path)) {
    if (!options.ids.empty()) fail(ErrorKind::kInput, "{}: no run is recorded yet", path.string());
    if (common.json) {
      print_json(Json::object({{listing ? "runs" : "groups", Json::array()}}));
    } else {
      print_text(fmt::format("{}: no run is recorded yet\n", path.string()));
    }
    return kDone;
  }
  const RunLedger ledger(path, RunLedger::Open::kExisting);
  if (listing) return list(ledger, common.json);
  if (showing) return show(ledger.read_run(options.ids.front()), common.json);
  if (options.ids.empty()) return compare_groups(ledger, common.json);
  std::vector<LedgerRun> runs;
  for (const int64_t id : options.ids) runs.push_back(ledger.read_run(id));
  return compare_runs(runs, common.json);
}

}  // namespace

extern const Command runs_command;
const Command runs_command = {
    "runs", "list, show and compare what was trained",
    "  penjing runs list --task sst2            the latest runs of a task, with their scores\n"
    "  penjing runs show 12                     settings, hashes of inputs, machine, time, energy\n"
    "  penjing runs compare 12 15               side by side: the settings that differ, the scores\n"
    "  penjing runs compare --by model,task     mean and deviation of the runs that are done\n"
    "  penjing runs compare --task rte --json\n"
    "The ledger is $PENJING_RUNS, else runs.sqlite in $PENJING_CACHE.",
    declare, run};

}  // namespace penjing::cli
