#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/energy_meter.h"
#include "recipe/run_ledger.h"

namespace penjing::cli {

// A run of this process in the ledger (recipe/run_ledger.h), from its begin to its end, with its seconds and,
// where readable, joules. Unless done() was called, it ends with the object: as interrupted after Ctrl-C or
// SIGTERM, else as failed; killed, it is listed as interrupted.
class RecordedRun {
 public:
  // Begins a run. Fills in Penjing's version and commit, the CPU, its instruction set; the caller the rest.
  explicit RecordedRun(RunInfo info);
  // Goes on with the run `id`; where the ledger has none of that id, kind and output, begins one.
  RecordedRun(RunInfo info, int64_t id);
  ~RecordedRun();
  RecordedRun(const RecordedRun&) = delete;
  RecordedRun& operator=(const RecordedRun&) = delete;

  int64_t id() const { return id_; }  // for a checkpoint, so that its resumption is the same run
  void add_score(const RunScore& score) { ledger_.add_score(id_, score); }
  // Reads the energy counters, which wrap: to be called more often than each half hour.
  void sample_energy() { (void)energy_.joules(); }
  void fail_because(std::string message) { message_ = std::move(message); }
  void done() { end(RunStatus::kDone); }

 private:
  void begin(RunInfo info);
  void end(RunStatus status);
  RunLedger ledger_{ledger_path()};
  EnergyMeter energy_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  int64_t id_ = 0;
  bool ended_ = false;
  std::string message_;
};

// The ledger's row of a run whose folder is there: that which its run.json names, when the run goes on and
// the ledger has it; else a new one, named there.
std::unique_ptr<RecordedRun> record_run(const RunInfo& info, const std::filesystem::path& folder,
                                        bool resume);

// Of a model's files and those of data; what is not there is left out.
std::vector<InputHash> hash_inputs(const std::string& model, const std::vector<std::filesystem::path>& data);

const char* git_commit();  // of the sources; "+" after it: with changes; empty: not known

}  // namespace penjing::cli
