#include "train/rank_monitor.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/error.h"

namespace penjing::train {

namespace {

using Clock = std::chrono::steady_clock;
using Duration = RankMonitor::Duration;

constexpr Duration kInterval{100};
constexpr Duration kSilent{3000};  // a rank without a beat for so long, once an exchange has failed, is lost
constexpr Duration kUndecided{8000};  // beats go on for so long after a failed exchange: no process is lost
constexpr Duration kFarewell{10000};

std::vector<uint8_t> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

std::string key(const char* what, int rank) {
  return fmt::format("{}/{}", what, rank);
}

}  // namespace

struct RankMonitor::State {
  c10::intrusive_ptr<c10d::Store> store;
  int rank = 0, size = 0;
  std::vector<std::string> names;
  Duration timeout{};

  // Between the rank and its thread.
  std::mutex mutex;
  std::condition_variable changed;
  int64_t exchanges = 0;
  std::string alarm, reason;  // what this rank has to say: a failed exchange, its own end
  bool alarm_sent = false, reason_sent = false;
  int64_t done = 0, seen_done = 0, waited_for = 0;
  std::string verdict;
  bool store_lost = false, stopping = false, ended = false;
  Clock::time_point contact = Clock::now();

  // Of the thread of rank 0.
  struct Seen {
    std::string beat;
    int64_t exchanges = 0;
    Clock::time_point at = Clock::now();
    bool closed = false;
  };
  std::vector<Seen> seen;
  Clock::time_point alarm_at{}, stopped_at{};

  void put(const std::string& name, const std::string& text) { store->set(name, bytes_of(text)); }
  std::string read(const std::string& name) {
    const std::vector<uint8_t> value = store->get(name);
    return {value.begin(), value.end()};
  }
  bool has(const std::string& name) { return store->check({name}); }

  std::string list(const std::vector<int>& ranks) const {
    std::string text;
    for (const int r : ranks) text += (text.empty() ? "" : ", ") + names[r];
    return text;
  }

  // Rank 0: "" while nothing is wrong or nothing is certain.
  std::string judge() {
    const auto at = Clock::now();
    for (int r = 0; r < size; ++r) {
      Seen& one = seen[r];
      if (one.closed) continue;
      std::string beat = has(key("beat", r)) ? read(key("beat", r)) : "";
      if (beat != one.beat) {
        one.exchanges = std::stoll(beat.substr(beat.find(' ') + 1));
        one.beat = std::move(beat);
        one.at = at;
      }
      one.closed = r != 0 && has(key("closed", r));
    }
    if (store->add("failures", 0) > 0) {
      for (int r = 0; r < size; ++r) {
        if (has(key("failed", r))) return fmt::format("{} stopped: {}", names[r], read(key("failed", r)));
      }
    }
    std::vector<int> silent, dead;
    for (int r = 1; r < size; ++r) {
      if (seen[r].closed) continue;
      if (at - seen[r].at > kSilent) silent.push_back(r);
      if (at - seen[r].at > timeout) dead.push_back(r);
    }
    if (!dead.empty()) {
      return fmt::format("{}: no sign of life for {} s", list(dead), timeout.count() / 1000);
    }
    if (store->add("alarms", 0) == 0) return "";
    if (alarm_at == Clock::time_point{}) alarm_at = at;
    if (!silent.empty()) return fmt::format("{}: has ended or cannot be reached", list(silent));
    if (at - alarm_at < kUndecided) return "";
    int64_t most = 0;
    for (const Seen& one : seen) most = std::max(most, one.exchanges);
    std::vector<int> behind;
    for (int r = 0; r < size; ++r) {
      if (seen[r].exchanges < most) behind.push_back(r);
    }
    for (int r = 0; r < size; ++r) {
      if (!has(key("alarm", r))) continue;
      const std::string what = read(key("alarm", r));
      return behind.empty() ? fmt::format("the exchange between the ranks failed: {}", what)
                            : fmt::format("{}: did not come to exchange {} ({})", list(behind), most, what);
    }
    return "the exchange between the ranks failed";
  }

  // Whether rank 0's thread may end: nobody needs the store any more.
  bool farewell_done() {
    const auto at = Clock::now();
    if (stopped_at == Clock::time_point{}) stopped_at = at;
    if (at - stopped_at > kFarewell) return true;
    return std::all_of(seen.begin() + 1, seen.end(),
                       [&](const Seen& one) { return one.closed || at - one.at > kSilent; });
  }

  // One beat. False: the thread has no more to do.
  bool beat(int64_t number) {
    std::unique_lock lock(mutex);
    const int64_t entered = exchanges, finished = done;
    const bool tell_alarm = !alarm.empty() && !alarm_sent, tell_reason = !reason.empty() && !reason_sent;
    const std::string my_alarm = alarm, my_reason = reason;
    const bool want_done = seen_done < waited_for, stop = stopping;
    bool judged = !verdict.empty();
    lock.unlock();

    put(key("beat", rank), fmt::format("{} {}", number, entered));
    if (tell_alarm) {
      put(key("alarm", rank), my_alarm);
      store->add("alarms", 1);
    }
    if (tell_reason) {
      put(key("failed", rank), my_reason);
      store->add("failures", 1);
    }
    std::string found;
    int64_t now_done = 0;
    if (rank == 0) {
      if (finished > 0) put("done", std::to_string(finished));
      const std::string judgement = judge();
      if (!judged && !stop && !judgement.empty()) {
        found = judgement;
        put("verdict", found);
      }
    } else {
      if (has("verdict")) found = read("verdict");
      if (want_done && has("done")) now_done = std::stoll(read("done"));
    }

    lock.lock();
    contact = Clock::now();
    alarm_sent |= tell_alarm;
    reason_sent |= tell_reason;
    if (verdict.empty()) verdict = found;
    judged = !verdict.empty();
    seen_done = std::max(seen_done, now_done);
    changed.notify_all();
    lock.unlock();
    if (rank == 0) return !(stop || judged) || !farewell_done();
    if (!stop && !judged) return true;
    put(key("closed", rank), "");
    return false;
  }

  void run() {
    for (int64_t number = 1;; ++number) {
      bool more = false, lost = false;
      try {
        more = beat(number);
      } catch (const std::exception&) {
        lost = true;
      }
      std::unique_lock lock(mutex);
      store_lost |= lost;
      ended = !more;
      changed.notify_all();
      if (ended) return;
      changed.wait_for(lock, kInterval,
                       [&] { return (!alarm.empty() && !alarm_sent) || (!reason.empty() && !reason_sent); });
    }
  }

  bool lost_first() const { return store_lost || (rank != 0 && Clock::now() - contact > timeout); }
  std::string first_lost() const { return fmt::format("{}: has ended or cannot be reached", names[0]); }
};

RankMonitor::RankMonitor(c10::intrusive_ptr<c10d::Store> store, int rank, std::vector<std::string> names,
                         Duration timeout)
    : state_(std::make_shared<State>()) {
  state_->store = std::move(store);
  state_->rank = rank;
  state_->size = static_cast<int>(names.size());
  state_->names = std::move(names);
  state_->timeout = timeout;
  state_->seen.resize(state_->size);
  std::thread([state = state_] { state->run(); }).detach();
}

RankMonitor::~RankMonitor() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->changed.notify_all();
  // A thread that hangs in the store is left behind.
  state_->changed.wait_for(lock, state_->rank == 0 ? kFarewell + kSilent : Duration(2000),
                           [&] { return state_->ended; });
}

void RankMonitor::enter_exchange() {
  const std::lock_guard lock(state_->mutex);
  ++state_->exchanges;
  if (!state_->verdict.empty()) fail(ErrorKind::kIo, "{}", state_->verdict);
  if (state_->lost_first()) fail(ErrorKind::kIo, "{}", state_->first_lost());
}

void RankMonitor::exchange_failed(const std::string& reason) {
  std::unique_lock lock(state_->mutex);
  state_->alarm = reason;
  state_->changed.notify_all();
  const auto until = Clock::now() + kUndecided + 2 * kSilent;
  while (Clock::now() < until) {
    if (!state_->verdict.empty()) fail(ErrorKind::kIo, "{}", state_->verdict);
    if (state_->store_lost || (state_->rank != 0 && Clock::now() - state_->contact > kSilent)) {
      fail(ErrorKind::kIo, "{} ({})", state_->first_lost(), reason);
    }
    state_->changed.wait_for(lock, kInterval);
  }
  fail(ErrorKind::kIo, "the exchange between the ranks failed: {}", reason);
}

void RankMonitor::give_up(const std::string& reason) {
  std::unique_lock lock(state_->mutex);
  if (!state_->verdict.empty() || state_->store_lost) return;
  state_->reason = reason;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, Duration(2000), [&] { return state_->reason_sent || state_->ended; });
}

void RankMonitor::first_is_done() {
  const std::lock_guard lock(state_->mutex);
  ++state_->done;
}

void RankMonitor::wait_for_first() {
  std::unique_lock lock(state_->mutex);
  const int64_t wanted = ++state_->waited_for;
  while (state_->seen_done < wanted) {
    if (!state_->verdict.empty()) fail(ErrorKind::kIo, "{}", state_->verdict);
    if (state_->lost_first()) fail(ErrorKind::kIo, "{}", state_->first_lost());
    state_->changed.wait_for(lock, kInterval);
  }
}

}  // namespace penjing::train
