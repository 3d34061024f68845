#pragma once

#include <cstdint>
#include <memory>

#include "base/function_ref.h"

namespace penjing {

// CPUs this process should use: the fast ones of its affinity mask (fast_cpus.h), no more than its cgroup
// v1/v2 quota rounded up. At least 1.
int available_cpus();

// One pool a process: the calling thread plus num_threads-1 workers, pinned one to a CPU of the affinity
// mask when they all fit, fast ones first; a worker makes way when the caller runs on its CPU. Chunks are
// taken dynamically from one atomic counter, so a descheduled thread delays at most its own chunk. Workers
// spin briefly (some 20 us) between jobs, then sleep on a futex.
class ThreadPool {
 public:
  // num_threads 0 = available_cpus(). 1 = no worker, no synchronisation at all.
  explicit ThreadPool(int num_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const;

  // Calls body(chunk, thread) for every chunk in [0, num_chunks), thread in [0, num_threads). Returns when
  // all are done. The first exception thrown by a body is rethrown here after all threads have stopped.
  // Called from inside a body it runs serially on the calling thread (never nested). Calls from several
  // outside threads take turns. No allocation.
  void parallel_for(int64_t num_chunks, FunctionRef<void(int64_t chunk, int thread)> body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penjing
