#include "cli/recorded_run.h"

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/output_file.h"
#include "base/version.h"
#include "git_commit.inc"
#include "io/model_folder.h"
#include "kernels/cpu.h"

namespace penjing::cli {

void RecordedRun::begin(RunInfo info) {
  info.version = version();
  info.commit = git_commit();
  info.cpu = read_cpu_info().model;
  info.instruction_set = name_of(isa_limit());
  id_ = ledger_.begin_run(info);
}

RecordedRun::RecordedRun(RunInfo info) {
  begin(std::move(info));
}

RecordedRun::RecordedRun(RunInfo info, int64_t id) : id_(id) {
  if (ledger_.resume_run(id, info.kind, info.output)) return;
  log_warning("{}: no run {} of {}; it goes on as a new one", ledger_path().string(), id, info.output);
  begin(std::move(info));
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

std::unique_ptr<RecordedRun> record_run(const RunInfo& info, const std::filesystem::path& folder,
                                        bool resume) {
  const std::filesystem::path file = folder / "run.json";
  std::unique_ptr<RecordedRun> run;
  if (resume && std::filesystem::exists(file)) {
    const Json json = Json::parse(read_text_file(file, 1 << 16), file.string());
    const Json* id = json.find("id");
    if (id != nullptr && json.find("ledger") != nullptr &&
        json.find("ledger")->as_string(file.string()) == ledger_path().string()) {
      run = std::make_unique<RecordedRun>(info, id->as_int(file.string()));
    }
  }
  if (!run) run = std::make_unique<RecordedRun>(info);
  write_text_file(file, Json::object({{"id", run->id()}, {"ledger", ledger_path().string()}}).dump(2) + "\n");
  return run;
}

std::vector<InputHash> hash_inputs(const std::string& model, const std::vector<std::filesystem::path>& data) {
  std::vector<InputHash> all;
  if (!model.empty()) all = hash_input(resolve_model(model));
  for (const auto& path : data) {
    for (const InputHash& file : hash_input(path)) all.push_back(file);
  }
  return all;
}

}  // namespace penjing::cli
