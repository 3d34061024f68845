#include "cli/recorded_run.h"

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/version.h"
#include "git_commit.inc"
#include "kernels/cpu.h"

namespace penjing::cli {

RecordedRun::RecordedRun(RunInfo info) {
  info.version = version();
  info.commit = git_commit();
  info.cpu = read_cpu_info().model;
  info.instruction_set = name_of(isa_limit());
  id_ = ledger_.begin_run(info);
}

RecordedRun::RecordedRun(int64_t id) : id_(id) {
  ledger_.resume_run(id);
}

RecordedRun::~RecordedRun() {
  if (ended_) return;
  try {
    end(interrupted() ? RunStatus::kInterrupted : RunStatus::kFailed);
  } catch (const std::exception& error) {  // what ended the run matters more
    log_warning("the end of run {} could not be recorded: {}", id_, error.what());
  }
}

void RecordedRun::end(RunStatus status) {
  RunCost cost;
  cost.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  cost.joules = energy_.joules();
  ledger_.end_run(id_, status, cost, message_);
  ended_ = true;
}

const char* git_commit() {
  return PENJING_GIT_COMMIT;
}

}  // namespace penjing::cli
