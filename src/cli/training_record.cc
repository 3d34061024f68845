#include "cli/training_record.h"

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/output_file.h"

namespace penjing::cli {

std::unique_ptr<RecordedRun> record_training(const RunInfo& info,
                                             const std::filesystem::path& training_folder, bool resume) {
  const std::filesystem::path file = training_folder / "run.json";
  if (resume && std::filesystem::exists(file)) {
    const Json json = Json::parse(read_text_file(file, 1 << 16), file.string());
    const Json* id = json.find("id");
    if (id != nullptr && json.find("ledger") != nullptr &&
        json.find("ledger")->as_string(file.string()) == ledger_path().string()) {
      return std::unique_ptr<RecordedRun>(new RecordedRun(RecordedRun::resumed(id->as_int(file.string()))));
    }
  }
  auto run = std::make_unique<RecordedRun>(info);
  write_text_file(file, Json::object({{"id", run->id()}, {"ledger", ledger_path().string()}}).dump(2) + "\n");
  return run;
}

}  // namespace penjing::cli
