#include "recipe/run_ledger.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/hash.h"
#include "base/system_file.h"
#include "io/model_folder.h"
#include "recipe/database.h"

namespace penjing {

namespace {

constexpr int64_t kApplicationId = 0x504a4c47;  // "PJLG": tells our files from other programs'

// Entry i brings a file of schema version i (PRAGMA user_version) to version i + 1. Only ever append.
constexpr const char* kMigrations[] = {
    R"(
    CREATE TABLE runs (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL, name TEXT NOT NULL,
      status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
      message TEXT NOT NULL DEFAULT '',
      started REAL NOT NULL, ended REAL,          -- seconds since 1970, UTC
      seconds REAL NOT NULL DEFAULT 0, joules REAL,
      model TEXT NOT NULL, task TEXT NOT NULL, data TEXT NOT NULL, seed INTEGER,
      settings TEXT NOT NULL,                     -- JSON object
      inputs TEXT NOT NULL,                       -- JSON object: path -> SHA-256
      version TEXT NOT NULL, git_commit TEXT NOT NULL,
      host TEXT NOT NULL, process TEXT NOT NULL,  -- process: id:start
      cpu TEXT NOT NULL, instruction_set TEXT NOT NULL, threads INTEGER NOT NULL,
      output TEXT NOT NULL);
    CREATE INDEX runs_by_task ON runs (task, model);
    CREATE TABLE scores (
      run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
      split TEXT NOT NULL, name TEXT NOT NULL,
      value REAL, low REAL, high REAL,            -- NULL: not a number
      PRIMARY KEY (run, split, name)) WITHOUT ROWID;
    )"};
constexpr auto kSchemaVersion = static_cast<int64_t>(std::size(kMigrations));

constexpr std::array<std::string_view, 8> kKinds = {"finetune", "pretrain", "distill",   "theseus",
                                                    "mutual",   "byot",     "multitask", "run"};

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

// "id:start": numbers of processes come again, together with the time of their start they do not. Empty when
// there is no such process.
std::string process_identity(int64_t id) {
  const std::string stat = read_system_file(fmt::format("/proc/{}/stat", id));
  // The second field, the program's name, may hold anything; 22 is the start, in ticks since boot.
  auto at = stat.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  if (at == std::string::npos) return "";
  return fmt::format("{}:{}", id, stat.substr(at + 1, stat.find(' ', at + 1) - at - 1));
}

bool is_alive(const std::string& process) {
  std::string_view rest = process;
  const auto id = leading_integer(rest);
  return id.has_value() && process_identity(*id) == process;
}

RunStatus status_from(const std::string& text, const std::string& where) {
  for (const RunStatus status :
       {RunStatus::kRunning, RunStatus::kDone, RunStatus::kFailed, RunStatus::kInterrupted}) {
    if (text == to_string(status)) return status;
  }
  fail(ErrorKind::kFormat, "{}: unknown status \"{}\"", where, text);
}

void migrate(Database& database) {
  const auto check = [&database] {
    const int64_t application = database.number("PRAGMA application_id");
    const int64_t version = database.number("PRAGMA user_version");
    if (application == 0 && version == 0 && database.number("SELECT count(*) FROM sqlite_master") == 0)
      return version;  // an empty file
    if (application != kApplicationId)
      fail(ErrorKind::kFormat, "{}: a SQLite file of another program, not a ledger of runs",
           database.path().string());
    if (version > kSchemaVersion)
      fail(ErrorKind::kUnsupported, "{}: written by a newer Penjing: schema {}, this one knows up to {}",
           database.path().string(), version, kSchemaVersion);
    return version;
  };
  {
    const Transaction reads(database, Transaction::Lock::kRead);
    if (check() == kSchemaVersion) return;
  }
  database.use_write_ahead_log();
  Transaction transaction(database, Transaction::Lock::kWrite);
  // Again, now that no other process can be doing the same.
  for (int64_t version = check(); version < kSchemaVersion; ++version) database.execute(kMigrations[version]);
  database.execute(fmt::format("PRAGMA application_id = {}", kApplicationId).c_str());
  database.execute(fmt::format("PRAGMA user_version = {}", kSchemaVersion).c_str());
  transaction.commit();
}

std::unique_ptr<Database> open_ledger(const std::filesystem::path& path, RunLedger::Open open) {
  std::error_code error;
  if (open == RunLedger::Open::kCreate && path.has_parent_path()) {
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) fail(ErrorKind::kIo, "{}: cannot create: {}", path.parent_path().string(), error.message());
  }
  try {
    auto database = std::make_unique<Database>(path, open == RunLedger::Open::kCreate);
    migrate(*database);
    database->execute("PRAGMA foreign_keys = ON");
    return database;
  } catch (const Error& failure) {
    if (failure.kind() != ErrorKind::kFormat) throw;
    fail(ErrorKind::kFormat, "{}; move it away to begin a new ledger, or name another one with PENJING_RUNS",
         failure.what());
  }
}

Json parse_column(const Statement& row, int column, const std::string& where) {
  return Json::parse(row.text(column), where);
}

}  // namespace

const char* to_string(RunStatus status) {
  switch (status) {
    case RunStatus::kRunning:
      return "running";
    case RunStatus::kDone:
      return "done";
    case RunStatus::kFailed:
      return "failed";
    case RunStatus::kInterrupted:
      return "interrupted";
  }
  return "";
}

RunLedger::RunLedger(const std::filesystem::path& path, Open open) : database_(open_ledger(path, open)) {}
RunLedger::~RunLedger() = default;

int64_t RunLedger::begin_run(const RunInfo& info) {
  if (std::find(kKinds.begin(), kKinds.end(), info.kind) == kKinds.end())
    fail(ErrorKind::kInternal, "no kind of run: \"{}\"", info.kind);
  Json inputs = Json::object();
  for (const InputHash& input : info.inputs) inputs.set(input.path, input.sha256);
  Transaction transaction(*database_, Transaction::Lock::kWrite);
  Statement insert(
      *database_,
      "INSERT INTO runs (kind, name, status, started, model, task, data, seed, settings, inputs, version, "
      "git_commit, host, process, cpu, instruction_set, threads, output) "
      "VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(1, info.kind);
  insert.bind(2, info.name);
  insert.bind(3, now());
  insert.bind(4, info.model);
  insert.bind(5, info.task);
  insert.bind(6, info.data);
  insert.bind(7, info.seed);
  insert.bind(8, info.settings.dump());
  insert.bind(9, inputs.dump());
  insert.bind(10, info.version);
  insert.bind(11, info.commit);
  insert.bind(12, host_name());
  insert.bind(13, process_identity(::getpid()));
  insert.bind(14, info.cpu);
  insert.bind(15, info.instruction_set);
  insert.bind(16, static_cast<int64_t>(info.threads));
  insert.bind(17, info.output);
  insert.step();
  const int64_t id = database_->last_insert_id();
  transaction.commit();
  return id;
}

bool RunLedger::resume_run(int64_t id, const std::string& kind, const std::string& output) {
  Statement update(*database_,
                   "UPDATE runs SET status = 'running', message = '', ended = NULL, host = ?, process = ? "
                   "WHERE id = ? AND kind = ? AND output = ? RETURNING id");
  update.bind(1, host_name());
  update.bind(2, process_identity(::getpid()));
  update.bind(3, id);
  update.bind(4, kind);
  update.bind(5, output);
  if (!update.step()) return false;
  while (update.step()) {
  }
  return true;
}

void RunLedger::add_score(int64_t id, const RunScore& score) {
  Statement insert(*database_,
                   "INSERT INTO scores (run, split, name, value, low, high) VALUES (?, ?, ?, ?, ?, ?) "
                   "ON CONFLICT (run, split, name) DO UPDATE SET value = excluded.value, low = excluded.low, "
                   "high = excluded.high");
  insert.bind(1, id);
  insert.bind(2, score.split);
  insert.bind(3, score.name);
  insert.bind(4, score.value);
  insert.bind(5, score.low);
  insert.bind(6, score.high);
  insert.step();
}

void RunLedger::end_run(int64_t id, RunStatus status, const RunCost& cost, const std::string& message) {
  // Joules of a run of which a part could not be measured are not known.
  Statement update(
      *database_,
      "UPDATE runs SET status = ?1, ended = ?2, joules = CASE WHEN ?4 IS NULL OR (joules IS NULL AND "
      "seconds > 0) THEN NULL ELSE coalesce(joules, 0) + ?4 END, seconds = seconds + ?3, message = ?5 "
      "WHERE id = ?6");
  update.bind(1, to_string(status));
  update.bind(2, now());
  update.bind(3, cost.seconds);
  update.bind(4, cost.joules);
  update.bind(5, message);
  update.bind(6, id);
  update.step();
}

std::vector<LedgerRun> RunLedger::list_runs(const RunFilter& filter) const {
  std::string where = "1";
  std::vector<std::string> values;
  const auto want = [&](const std::string& value, const char* condition) {
    if (value.empty()) return;
    values.push_back(value);
    where += fmt::format(" AND ({})", fmt::format(fmt::runtime(condition), values.size()));
  };
  want(filter.task, "task = ?{0}");
  want(filter.kind, "kind = ?{0}");
  want(filter.model, "model = ?{0} OR substr(model, -length(?{0}) - 1) = '/' || ?{0}");
  return select(where, values, filter.limit);
}

LedgerRun RunLedger::read_run(int64_t id) const {
  std::vector<LedgerRun> runs = select(fmt::format("id = {}", id), {}, 1);
  if (runs.empty()) fail(ErrorKind::kInput, "{}: no run {}", database_->path().string(), id);
  return std::move(runs.front());
}

std::vector<LedgerRun> RunLedger::select(const std::string& where, const std::vector<std::string>& values,
                                         int64_t limit) const {
  Statement row(
      *database_,
      fmt::format(
          "SELECT id, kind, name, status, message, started, ended, seconds, joules, model, task, data, "
          "seed, settings, inputs, version, git_commit, host, process, cpu, instruction_set, threads, "
          "output FROM runs WHERE {} ORDER BY id DESC LIMIT {}",
          where, limit));
  for (std::size_t i = 0; i < values.size(); ++i) row.bind(static_cast<int>(i) + 1, values[i]);
  const std::string here = host_name();
  std::vector<LedgerRun> runs;
  while (row.step()) {
    LedgerRun run;
    run.id = row.integer(0).value_or(0);
    const std::string of = fmt::format("{}: run {}", database_->path().string(), run.id);
    run.kind = row.text(1);
    run.name = row.text(2);
    run.status = status_from(row.text(3), of);
    run.message = row.text(4);
    run.started = row.real(5).value_or(0);
    run.ended = row.real(6);
    run.seconds = row.real(7).value_or(0);
    run.joules = row.real(8);
    run.model = row.text(9);
    run.task = row.text(10);
    run.data = row.text(11);
    run.seed = row.integer(12);
    run.settings = parse_column(row, 13, of + ": settings");
    const Json inputs = parse_column(row, 14, of + ": inputs");
    for (const auto& [path, hash] : inputs.as_object(of + ": inputs"))
      run.inputs.push_back({path, hash.as_string(of + ": inputs")});
    run.version = row.text(15);
    run.commit = row.text(16);
    run.host = row.text(17);
    if (run.status == RunStatus::kRunning && run.host == here && !is_alive(row.text(18)))
      run.status = RunStatus::kInterrupted;
    run.cpu = row.text(19);
    run.instruction_set = row.text(20);
    run.threads = static_cast<int>(row.integer(21).value_or(0));
    run.output = row.text(22);
    Statement score(*database_,
                    "SELECT split, name, value, low, high FROM scores WHERE run = ? ORDER BY split, name");
    score.bind(1, run.id);
    while (score.step()) {
      run.scores.push_back(
          {score.text(1), score.text(0), score.real(2).value_or(std::nan("")), score.real(3), score.real(4)});
    }
    runs.push_back(std::move(run));
  }
  return runs;
}

std::filesystem::path ledger_path() {
  const char* own = std::getenv("PENJING_RUNS");
  return own != nullptr && *own != '\0' ? std::filesystem::path(own) : cache_folder() / "runs.sqlite";
}

std::vector<InputHash> hash_input(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return {{path.string(), sha256_file(path)}};
  std::vector<InputHash> hashes;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.is_regular_file()) hashes.push_back({entry.path().string(), sha256_file(entry.path())});
  }
  std::sort(hashes.begin(), hashes.end(),
            [](const InputHash& a, const InputHash& b) { return a.path < b.path; });
  return hashes;
}

}  // namespace penjing
