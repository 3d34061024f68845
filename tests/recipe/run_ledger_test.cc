#include "recipe/run_ledger.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <ctime>
#include <functional>
#include <set>

#include "base/energy_meter.h"
#include "recipe/database.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

RunInfo make_info(int64_t seed) {
  RunInfo info;
  info.kind = "finetune";
  info.name = "a \"quoted\" name; DROP TABLE runs";
  info.model = "models/minilm";
  info.task = "sst2";
  info.data = "glue/SST-2";
  info.seed = seed;
  info.settings = Json::object({{"epochs", 3}, {"learning_rate", 2e-5}});
  info.inputs = {{"model.safetensors", std::string(64, 'a')}};
  info.version = "0.1.0";
  info.commit = "abc123";
  info.cpu = "A CPU";
  info.instruction_set = "avx2";
  info.threads = 2;
  info.output = "out";
  return info;
}

TEST(RunLedger, KeepsWhatIsKnown) {
  const TestFolder folder("ledger");
  int64_t id = 0;
  {
    RunLedger ledger(folder / "sub/runs.sqlite");
    id = ledger.begin_run(make_info(7));
    EXPECT_EQ(ledger.read_run(id).status, RunStatus::kRunning);
    ledger.add_score(id, {"accuracy", "dev", 0.5, 0.4, 0.6});
    ledger.add_score(id, {"accuracy", "dev", 0.75, std::nullopt, std::nullopt});
    ledger.add_score(id, {"mcc", "dev", std::nan(""), std::nullopt, std::nullopt});
    ledger.end_run(id, RunStatus::kInterrupted, {10, 100});
    EXPECT_TRUE(ledger.resume_run(id, "finetune", "out"));
    EXPECT_EQ(ledger.read_run(id).status, RunStatus::kRunning);
    ledger.end_run(id, RunStatus::kDone, {5, 50});
    EXPECT_FALSE(ledger.resume_run(id + 1, "finetune", "out"));
    EXPECT_FALSE(ledger.resume_run(id, "distill", "out"));
    EXPECT_FALSE(ledger.resume_run(id, "finetune", "other"));
    EXPECT_EQ(ledger.read_run(id).status, RunStatus::kDone);
    EXPECT_THROW(ledger.add_score(id + 1, {"accuracy", "dev", 1, {}, {}}), Error);
    EXPECT_THROW((void)ledger.read_run(id + 1), Error);
    RunInfo bad = make_info(1);
    bad.kind = "walk";
    EXPECT_THROW(ledger.begin_run(bad), Error);
  }
  const LedgerRun run = RunLedger(folder / "sub/runs.sqlite", RunLedger::Open::kExisting).read_run(id);
  const RunInfo info = make_info(7);
  EXPECT_EQ(run.kind, info.kind);
  EXPECT_EQ(run.name, info.name);
  EXPECT_EQ(run.model, info.model);
  EXPECT_EQ(run.task, info.task);
  EXPECT_EQ(run.data, info.data);
  EXPECT_EQ(run.seed, 7);
  EXPECT_EQ(run.settings, info.settings);
  ASSERT_EQ(run.inputs.size(), 1u);
  EXPECT_EQ(run.inputs[0].path, "model.safetensors");
  EXPECT_EQ(run.inputs[0].sha256, std::string(64, 'a'));
  EXPECT_EQ(run.version, "0.1.0");
  EXPECT_EQ(run.commit, "abc123");
  EXPECT_EQ(run.cpu, "A CPU");
  EXPECT_EQ(run.instruction_set, "avx2");
  EXPECT_EQ(run.threads, 2);
  EXPECT_EQ(run.output, "out");
  EXPECT_EQ(run.status, RunStatus::kDone);
  EXPECT_EQ(run.seconds, 15);
  EXPECT_EQ(run.joules, 150);
  EXPECT_NEAR(run.started, static_cast<double>(std::time(nullptr)), 60);
  EXPECT_GE(run.ended.value(), run.started);
  EXPECT_FALSE(run.host.empty());
  ASSERT_EQ(run.scores.size(), 2u);
  EXPECT_EQ(run.scores[0].name, "accuracy");
  EXPECT_EQ(run.scores[0].value, 0.75);
  EXPECT_FALSE(run.scores[0].low.has_value());
  EXPECT_TRUE(std::isnan(run.scores[1].value));
}

TEST(RunLedger, JoulesOfHalfARunAreNotARuns) {
  const TestFolder folder("ledger-joules");
  RunLedger ledger(folder / "r");
  const int64_t first = ledger.begin_run(make_info(1)), second = ledger.begin_run(make_info(2));
  ledger.end_run(first, RunStatus::kInterrupted, {1, std::nullopt});
  ledger.end_run(first, RunStatus::kDone, {1, 30});
  ledger.end_run(second, RunStatus::kInterrupted, {1, 30});
  ledger.end_run(second, RunStatus::kFailed, {1, std::nullopt}, "out of memory");
  EXPECT_FALSE(ledger.read_run(first).joules.has_value());
  EXPECT_FALSE(ledger.read_run(second).joules.has_value());
  EXPECT_EQ(ledger.read_run(second).message, "out of memory");
}

TEST(RunLedger, Filters) {
  const TestFolder folder("ledger-filter");
  RunLedger ledger(folder / "r");
  const auto add = [&ledger](const std::string& kind, const std::string& model, const std::string& task) {
    RunInfo info = make_info(1);
    info.kind = kind;
    info.model = model;
    info.task = task;
    ledger.begin_run(info);
  };
  add("finetune", "minilm", "sst2");
  add("finetune", "models/minilm", "rte");
  add("distill", "models/not-minilm", "rte");
  const auto ids = [&ledger](const RunFilter& filter) {
    std::vector<int64_t> found;
    for (const LedgerRun& run : ledger.list_runs(filter)) found.push_back(run.id);
    return found;
  };
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(ids({}), (Ids{3, 2, 1}));
  EXPECT_EQ(ids({.task = "rte", .kind = "", .model = ""}), (Ids{3, 2}));
  EXPECT_EQ(ids({.task = "rte", .kind = "distill", .model = ""}), (Ids{3}));
  EXPECT_EQ(ids({.task = "", .kind = "", .model = "minilm"}), (Ids{2, 1}));
  EXPECT_EQ(ids({.task = "", .kind = "", .model = "", .limit = 2}), (Ids{3, 2}));
  EXPECT_EQ(ids({.task = "' OR 1 --", .kind = "", .model = ""}), Ids{});
}

// Forks `count` processes that do `body`; true when each ended well.
bool run_processes(int count, const std::function<void(int)>& body) {
  std::vector<pid_t> children;
  for (int i = 0; i < count; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        body(i);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "process %d: %s\n", i, error.what());
        ::_exit(1);
      }
      ::_exit(0);
    }
    children.push_back(child);
  }
  bool good = true;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    good = good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  return good;
}

TEST(RunLedger, ProcessesWriteAtOnce) {
  const TestFolder folder("ledger-processes");
  ASSERT_TRUE(run_processes(2, [&](int process) {
    RunLedger ledger(folder / "r");
    for (int i = 0; i < 100; ++i) {
      const int64_t id = ledger.begin_run(make_info(1000 * process + i));
      ledger.add_score(id, {"accuracy", "dev", static_cast<double>(1000 * process + i), {}, {}});
      ledger.end_run(id, RunStatus::kDone, {1, std::nullopt});
    }
  }));
  const auto runs = RunLedger(folder / "r").list_runs();
  ASSERT_EQ(runs.size(), 200u);
  std::set<int64_t> ids, seeds;
  for (const LedgerRun& run : runs) {
    ids.insert(run.id);
    seeds.insert(run.seed.value());
    EXPECT_EQ(run.status, RunStatus::kDone);
    ASSERT_EQ(run.scores.size(), 1u);
    EXPECT_EQ(run.scores[0].value, static_cast<double>(run.seed.value()));
  }
  EXPECT_EQ(ids.size(), 200u);
  EXPECT_EQ(seeds.size(), 200u);
}

TEST(RunLedger, ManyProcessesBeginIt) {
  for (int round = 0; round < 5; ++round) {
    const TestFolder folder("ledger-begin");
    ASSERT_TRUE(run_processes(8, [&](int i) { RunLedger(folder / "r").begin_run(make_info(i)); }));
    EXPECT_EQ(RunLedger(folder / "r").list_runs().size(), 8u);
  }
}

TEST(RunLedger, AKilledRunIsInterrupted) {
  const TestFolder folder("ledger-killed");
  ASSERT_TRUE(run_processes(1, [&](int) { RunLedger(folder / "r").begin_run(make_info(1)); }));
  RunLedger ledger(folder / "r");
  EXPECT_EQ(ledger.read_run(1).status, RunStatus::kInterrupted);
  EXPECT_TRUE(ledger.resume_run(1, "finetune", "out"));
  EXPECT_EQ(ledger.read_run(1).status, RunStatus::kRunning);
  // Another host's processes are not known here.
  Database(folder / "r", false).execute("UPDATE runs SET host = 'elsewhere', process = '1:1'");
  EXPECT_EQ(ledger.read_run(1).status, RunStatus::kRunning);
}

std::string refusal(const std::filesystem::path& path, ErrorKind kind) {
  try {
    RunLedger(path).list_runs();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(path.string()), std::string::npos) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(RunLedger, FilesThatAreNoLedger) {
  const TestFolder folder("ledger-foreign");
  write_bytes(folder / "text",
              "these are some notes of mine, and no database at all\n" + std::string(4096, 'x'));
  EXPECT_NE(refusal(folder / "text", ErrorKind::kFormat).find("PENJING_RUNS"), std::string::npos);
  EXPECT_NE(read_bytes(folder / "text").find("notes of mine"), std::string::npos);
  Database(folder / "other", true).execute("CREATE TABLE songs (name TEXT)");
  EXPECT_NE(refusal(folder / "other", ErrorKind::kFormat).find("another program"), std::string::npos);
  {
    RunLedger ledger(folder / "newer");
    Database(folder / "newer", false).execute("PRAGMA user_version = 99");
  }
  EXPECT_NE(refusal(folder / "newer", ErrorKind::kUnsupported).find("newer Penjing: schema 99"),
            std::string::npos);
  // Pages in the middle overwritten.
  {
    RunLedger ledger(folder / "damaged");
    for (int i = 0; i < 50; ++i) ledger.begin_run(make_info(i));
  }
  std::string bytes = read_bytes(folder / "damaged");
  ASSERT_GT(bytes.size(), 12000u);
  for (std::size_t i = 4096; i < bytes.size(); ++i) bytes[i] = '\x5a';
  write_bytes(folder / "damaged", bytes);
  (void)refusal(folder / "damaged", ErrorKind::kFormat);
  EXPECT_NE(error_of([&] { RunLedger(folder / "absent", RunLedger::Open::kExisting); }), "");
  EXPECT_FALSE(std::filesystem::exists(folder / "absent"));
  EXPECT_NE(error_of([&] { RunLedger(folder / "text" / "runs"); }), "");
}

TEST(RunLedger, HashesOfAFolder) {
  const TestFolder folder("ledger-hash");
  write_bytes(folder / "d/b", "abc");
  write_bytes(folder / "d/a", "");
  write_bytes(folder / "d/sub/c", "x");
  const auto hashes = hash_input(folder / "d");
  ASSERT_EQ(hashes.size(), 2u);
  EXPECT_EQ(hashes[0].path, (folder / "d/a").string());
  EXPECT_EQ(hashes[1].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash_input(folder / "d/b")[0].sha256, hashes[1].sha256);
}

TEST(RunLedger, ItsPlace) {
  ::setenv("PENJING_RUNS", "/some/where.sqlite", 1);
  EXPECT_EQ(ledger_path(), "/some/where.sqlite");
  ::unsetenv("PENJING_RUNS");
  EXPECT_EQ(ledger_path().filename(), "runs.sqlite");
}

TEST(EnergyMeter, AddsPackagesAndWraps) {
  const TestFolder folder("powercap");
  const auto set = [&](const std::string& name, int64_t value) {
    write_bytes(folder / (name + "/energy_uj"), std::to_string(value) + "\n");
    write_bytes(folder / (name + "/max_energy_range_uj"), "10000000\n");
  };
  set("intel-rapl:0", 9'000'000);
  set("intel-rapl:1", 1'000'000);
  set("intel-rapl:0:0", 0);  // a part of the first package
  EnergyMeter meter(folder.path());
  EXPECT_EQ(meter.joules(), 0);
  set("intel-rapl:0", 500'000);  // wrapped: 1.5 J
  set("intel-rapl:1", 3'000'000);
  set("intel-rapl:0:0", 9'000'000);
  EXPECT_DOUBLE_EQ(meter.joules().value(), 3.5);
  set("intel-rapl:1", 4'000'000);
  EXPECT_DOUBLE_EQ(meter.joules().value(), 4.5);
  EXPECT_FALSE(EnergyMeter(folder / "absent").joules().has_value());
}

}  // namespace
}  // namespace penjing
