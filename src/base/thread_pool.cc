#include "base/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/fast_cpus.h"

namespace penjing {

namespace {

// One futex round trip costs some 5 us and a missed wake-up some 50; layers of a small model are tens of
// microseconds apart. 20 us of spinning bridges them without holding a shared CPU for long.
constexpr auto kSpin = std::chrono::microseconds(20);
constexpr uint32_t kClosed = 0x80000000u;

thread_local const void* current_pool = nullptr;
thread_local int current_thread = 0;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// Spins until ready() or the time is over; true when ready.
template <typename Ready>
bool spin_until(Ready ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

// A job is open for workers while gate has no kClosed bit; gate's low bits count the workers inside. A worker
// that is asleep or descheduled when the job ends is simply never inside: nobody waits for it.
struct ThreadPool::State {
  int num_threads = 1;
  std::vector<std::thread> workers;
  std::vector<int> worker_cpus;  // empty: not pinned
  int free_cpu = -1;             // the one left for the caller
  std::mutex callers;            // one job at a time

  // The job: written while the gate is closed and empty.
  const FunctionRef<void(int64_t, int)>* body = nullptr;
  int64_t num_chunks = 0;
  std::exception_ptr error;
  std::atomic<bool> failed{false};

  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<uint32_t> gate{kClosed};
  alignas(64) std::atomic<uint32_t> generation{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> stop{false};

  void work(int thread) {
    for (;;) {
      const int64_t chunk = next.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= num_chunks || failed.load(std::memory_order_relaxed)) return;
      try {
        (*body)(chunk, thread);
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
  }

  // The caller is the user's thread and may have been put on the CPU of a worker, where the two would take
  // turns while another CPU idles: that worker moves to the free one.
  void make_way() {
    if (worker_cpus.empty()) return;
    const int here = ::sched_getcpu();
    if (here == free_cpu) return;
    for (std::size_t i = 0; i < workers.size(); ++i) {
      if (worker_cpus[i] != here) continue;
      if (!pin(workers[i], free_cpu)) return;
      worker_cpus[i] = std::exchange(free_cpu, here);
      return;
    }
  }

  static bool pin(std::thread& thread, int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return ::pthread_setaffinity_np(thread.native_handle(), sizeof one, &one) == 0;
  }

  bool enter() {
    uint32_t value = gate.load(std::memory_order_relaxed);
    while ((value & kClosed) == 0) {
      if (gate.compare_exchange_weak(value, value + 1, std::memory_order_acquire)) return true;
    }
    return false;
  }

  void leave() {
    if (gate.fetch_sub(1, std::memory_order_acq_rel) == (kClosed | 1)) gate.notify_one();
  }

  void run_worker(int thread) {
    current_pool = this;
    current_thread = thread;
    uint32_t seen = 0;
    while (!stop) {
      if (!spin_until([&] { return generation.load(std::memory_order_acquire) != seen || stop; })) {
        sleepers.fetch_add(1);
        generation.wait(seen);
        sleepers.fetch_sub(1);
      }
      seen = generation.load(std::memory_order_acquire);
      if (enter()) {
        work(thread);
        leave();
      }
    }
  }
};

ThreadPool::ThreadPool(int num_threads) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.num_threads = num_threads > 0 ? num_threads : available_cpus();
  if (s.num_threads == 1) return;

  std::vector<int> cpus = allowed_cpus();
  const std::vector<int> fast = fast_cpus(cpus);
  std::stable_partition(cpus.begin(), cpus.end(),
                        [&](int cpu) { return std::find(fast.begin(), fast.end(), cpu) != fast.end(); });
  const bool enough = static_cast<int>(cpus.size()) >= s.num_threads;
  if (enough) s.free_cpu = cpus[0];
  for (int thread = 1; thread < s.num_threads; ++thread) {
    s.workers.emplace_back([&s, thread] { s.run_worker(thread); });
    if (!enough) continue;
    s.worker_cpus.push_back(cpus[static_cast<std::size_t>(thread)]);
    State::pin(s.workers.back(), s.worker_cpus.back());
  }
}

ThreadPool::~ThreadPool() {
  State& s = *state_;
  s.stop = true;
  s.generation.fetch_add(1);
  s.generation.notify_all();
  for (std::thread& worker : s.workers) worker.join();
}

int ThreadPool::num_threads() const {
  return state_->num_threads;
}

void ThreadPool::parallel_for(int64_t num_chunks, FunctionRef<void(int64_t, int)> body) {
  State& s = *state_;
  if (num_chunks <= 0) return;
  if (current_pool != nullptr) {  // inside a body: serial, on this thread's own index
    const int thread = current_pool == &s ? current_thread : 0;
    for (int64_t chunk = 0; chunk < num_chunks; ++chunk) body(chunk, thread);
    return;
  }
  if (s.num_threads == 1) {
    for (int64_t chunk = 0; chunk < num_chunks; ++chunk) body(chunk, 0);
    return;
  }

  const std::lock_guard lock(s.callers);
  current_pool = &s;
  current_thread = 0;
  s.body = &body;
  s.num_chunks = num_chunks;
  s.failed = false;
  s.next.store(0, std::memory_order_relaxed);
  if (num_chunks > 1) {
    s.make_way();
    s.gate.store(0, std::memory_order_release);
    s.generation.fetch_add(1);
    if (s.sleepers.load() > 0) s.generation.notify_all();
  }
  s.work(0);
  uint32_t inside = s.gate.fetch_or(kClosed, std::memory_order_acq_rel) | kClosed;
  if (!spin_until([&] { return (inside = s.gate.load(std::memory_order_acquire)) == kClosed; })) {
    while ((inside = s.gate.load(std::memory_order_acquire)) != kClosed) s.gate.wait(inside);
  }
  current_pool = nullptr;
  if (s.failed) std::rethrow_exception(std::exchange(s.error, nullptr));
}

}  // namespace penjing
