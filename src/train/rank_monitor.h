#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

namespace penjing::train {

// Finds out which rank is lost. A thread of every rank writes a beat to the store ten times a second,
// computing or not; that of rank 0 (whose process holds the store) reads all beats and gives the verdict,
// once, which all ranks then read: a rank that ended with an error of its own, whose beats have stopped, or
// that did not come to an exchange. A lost rank 0 is seen by the store's silence.
class RankMonitor {
 public:
  using Duration = std::chrono::milliseconds;
  // store: a connection of this monitor alone. names: of every rank for messages, "rank 2 (host)".
  RankMonitor(c10::intrusive_ptr<c10d::Store> store, int rank, std::vector<std::string> names,
              Duration timeout);
  // Rank 0 waits (10 s at most) until the others no longer need the store.
  ~RankMonitor();
  RankMonitor(const RankMonitor&) = delete;
  RankMonitor& operator=(const RankMonitor&) = delete;

  // This rank goes into its next exchange. Throws kIo when a rank is known to be lost.
  void enter_exchange();
  // An exchange failed for the reason: waits for the verdict, throws kIo.
  [[noreturn]] void exchange_failed(const std::string& reason);
  // This rank ends with an error of its own; returns when rank 0 knows, or after 2 s.
  void give_up(const std::string& reason);
  // Rank 0 has done another piece of work that the others wait for (counted from 1).
  void first_is_done();
  void wait_for_first();

 private:
  struct State;
  std::shared_ptr<State> state_;  // also the thread's, which may hang in a call to a store that is silent
};

}  // namespace penjing::train
