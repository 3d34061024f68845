#pragma once

#include <functional>

#include "train/communicator.h"

namespace penjing::train {

struct RankSettings {
  int threads = 0;                           // 0: this rank's share of the CPUs
  double timeout = 300;                      // seconds that a rank may be late
  int64_t bucket_bytes = int64_t{25} << 20;  // of gradients sent together
};

// Calls `work` with the number of threads (0: all) and the communicator of this rank as the environment says
// (launch_environment.h); without one in a process of its own. What `work` throws is told to the other ranks;
// an Error's message then begins with this rank.
void run_rank(const RankSettings& settings,
              const std::function<void(int threads, Communicator* communicator)>& work);

// communicator->on_first(work), or the work itself where there is one process.
void on_first(Communicator* communicator, const std::function<void()>& work);

}  // namespace penjing::train
