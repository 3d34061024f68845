#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace penjing {

class Database;

enum class RunStatus { kRunning, kDone, kFailed, kInterrupted };
const char* to_string(RunStatus status);

struct InputHash {
  std::string path;
  std::string sha256;
};

// What is known of a run when it begins.
struct RunInfo {
  std::string kind;   // "finetune", "pretrain", "distill", "theseus", "mutual", "run"
  std::string name;   // for people; may be empty
  std::string model;  // as it was given
  std::string task, data;
  std::optional<int64_t> seed;
  Json settings =
      Json::object();  // resolved; without the seed, or runs of several seeds would not be one group
  std::vector<InputHash> inputs;  // the model's files, the data's
  std::string version, commit;    // of Penjing
  std::string cpu, instruction_set;
  int threads = 0;
  std::string output;  // folder
};

struct RunScore {
  std::string name, split;  // "accuracy", "dev"
  double value = 0;
  std::optional<double> low, high;  // interval
};

// What a run, or its part since it was resumed, took.
struct RunCost {
  double seconds = 0;
  std::optional<double> joules;  // base/energy_meter.h
};

struct LedgerRun : RunInfo {
  int64_t id = 0;
  RunStatus status = RunStatus::kRunning;
  std::string message;  // why it failed
  double started = 0;   // seconds since 1970, UTC
  std::optional<double> ended;
  double seconds = 0;  // of work, without the time between a kill and the resumption
  std::optional<double> joules;
  std::string host;
  std::vector<RunScore> scores;  // by split and name
};

struct RunFilter {
  std::string task, kind;  // empty: any
  std::string model;       // as it was given, or the last part of that path
  int64_t limit = -1;      // the latest so many; -1: all
};

// The record of what was run: one SQLite file for all runs of a user (write-ahead log; schema below in
// run_ledger.cc, also for other programs to read). Safe with several processes at once; each call is one
// transaction. One thread at a time an object.
// Throws kFormat for a damaged file or another program's, kUnsupported for one of a newer Penjing.
class RunLedger {
 public:
  enum class Open { kCreate, kExisting };
  explicit RunLedger(const std::filesystem::path& path, Open open = Open::kCreate);
  ~RunLedger();
  RunLedger(const RunLedger&) = delete;
  RunLedger& operator=(const RunLedger&) = delete;

  int64_t begin_run(const RunInfo& info);  // its id
  // The run of that kind and output goes on in this process: running again, seconds and joules will be added.
  // False: there is no such run, as in a ledger that was put in the place of the one it began in.
  [[nodiscard]] bool resume_run(int64_t id, const std::string& kind, const std::string& output);
  // Replaces a score of that name and split.
  void add_score(int64_t id, const RunScore& score);
  void end_run(int64_t id, RunStatus status, const RunCost& cost, const std::string& message = "");

  // A run that says "running", but whose process on this host is gone, is given as interrupted.
  std::vector<LedgerRun> list_runs(const RunFilter& filter = {}) const;  // latest first
  LedgerRun read_run(int64_t id) const;                                  // kInput: no such run

 private:
  std::vector<LedgerRun> select(const std::string& where, const std::vector<std::string>& values,
                                int64_t limit) const;
  std::unique_ptr<Database> database_;
};

// $PENJING_RUNS, else <cache_folder()>/runs.sqlite.
std::filesystem::path ledger_path();

// SHA-256 of a file, or of the files of a folder (not of folders in it), by name. kIo when one cannot be
// read.
std::vector<InputHash> hash_input(const std::filesystem::path& path);

}  // namespace penjing
