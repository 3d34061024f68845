#include "train/training_run.h"

#include <optional>

#include "train/training_folder.h"

namespace penjing::train {

int run_in_training_folder(const RankSettings& ranks, const std::filesystem::path& out, bool resume,
                           const std::function<void(const std::string&)>& tell,
                           const std::function<void(const TrainingRun& run)>& work) {
  int rank = 0;
  run_rank(ranks, [&](int threads, Communicator* communicator) {
    rank = communicator == nullptr ? 0 : communicator->rank();
    std::optional<FolderLock> lock;  // rank 0's, until the result is there
    if (!out.empty()) on_first(communicator, [&] { lock.emplace(enter_training_folder(out, resume)); });
    work({threads, communicator, out.empty() ? out : training_folder(out), [&](const std::string& text) {
            if (rank == 0) tell(text);
          }});
  });
  return rank;
}

}  // namespace penjing::train
