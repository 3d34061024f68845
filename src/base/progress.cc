#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <mutex>

namespace penjing {

namespace {
std::atomic<ProgressStyle> style{ProgressStyle::kNone};
using Clock = std::chrono::steady_clock;

// As much of a line as the terminal has columns for: a line that wraps cannot be redrawn in place.
std::string fit_terminal(std::string line) {
  winsize window{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col < 2) return line;
  std::size_t end = 0, columns = 0;
  while (end < line.size()) {
    std::size_t next = end + 1;
    while (next < line.size() && (static_cast<unsigned char>(line[next]) & 0xc0) == 0x80) ++next;
    if (++columns >= window.ws_col) break;
    end = next;
  }
  line.resize(end);
  return line;
}
}  // namespace

std::string format_seconds(double seconds) {
  const auto whole = std::llround(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const int64_t minutes = (whole + 30) / 60;
  if (minutes < 48 * 60) return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
  return fmt::format("{:.1f} days", static_cast<double>(minutes) / (24 * 60));
}

void set_progress_style(ProgressStyle new_style) {
  style = new_style;
}

ProgressStyle detect_progress_style(bool quiet) {
  if (quiet) return ProgressStyle::kNone;
  return ::isatty(STDERR_FILENO) != 0 ? ProgressStyle::kBar : ProgressStyle::kLines;
}

struct Progress::State {
  std::string label, unit;
  int64_t total = 0, first = 0;
  ProgressStyle shown = ProgressStyle::kNone;
  Clock::time_point start = Clock::now();
  std::atomic<int64_t> done{0};
  std::mutex mutex;                // guards what follows
  Clock::time_point last = start;  // last time a line was drawn
  int64_t last_step = 0;
  bool drawn = false;
  std::string note;

  std::string suffix() const { return note.empty() ? "" : "  " + note; }
  void draw_bar(std::string line, bool final) const {
    fmt::print(stderr, "\r{}\x1b[K{}", fit_terminal(std::move(line)), final ? "\n" : "");
  }

  void draw_count(bool final) {
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const int64_t count = done.load();
    const std::string line =
        fmt::format("{}: {}{}{}  {:.4g}/s  {}{}", label, count, unit.empty() ? "" : " ", unit,
                    static_cast<double>(count - first) / seconds, format_seconds(seconds), suffix());
    if (shown == ProgressStyle::kBar) {
      draw_bar(line, final);
    } else {
      fmt::print(stderr, "{}\n", line);
    }
    std::fflush(stderr);
    drawn = true;
  }

  void draw(bool final) {
    if (total == kUnknown) return draw_count(final);
    const int64_t count = std::min(done.load(), total);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const double share = total > 0 ? static_cast<double>(count) / static_cast<double>(total) : 1.0;
    const double rate = seconds > 0 ? static_cast<double>(count - first) / seconds : 0;
    const double left = rate > 0 ? static_cast<double>(total - count) / rate : 0;
    const std::string tail =
        fmt::format("{}/{}{}{}  {:.4g}/s  {}{}", count, total, unit.empty() ? "" : " ", unit, rate,
                    final ? format_seconds(seconds) : format_seconds(left) + " left", suffix());
    if (shown == ProgressStyle::kBar) {
      constexpr int kWidth = 24;
      const int filled = static_cast<int>(share * kWidth);
      draw_bar(
          fmt::format("{} [{}{}] {:3.0f} %  {}", label, std::string(static_cast<std::size_t>(filled), '#'),
                      std::string(static_cast<std::size_t>(kWidth - filled), '.'), share * 100, tail),
          final);
    } else {
      fmt::print(stderr, "{}: {:.0f} %  {}\n", label, share * 100, tail);
    }
    std::fflush(stderr);
    drawn = true;
  }
};

Progress::Progress(std::string label, int64_t total, std::string unit, int64_t first) : state_(new State) {
  state_->label = std::move(label);
  state_->unit = std::move(unit);
  state_->total = std::max(total, kUnknown);
  state_->shown = style;
  state_->first = first;
  state_->done = first;
}

Progress::~Progress() {
  if (state_->drawn) {
    try {
      state_->draw(true);
    } catch (...) {  // a progress line is never worth an abort
    }
  }
  delete state_;
}

void Progress::set_note(std::string note) {
  const std::lock_guard lock(state_->mutex);
  state_->note = std::move(note);
}

void Progress::advance(int64_t units) {
  State& s = *state_;
  const int64_t count = s.done += units;
  if (s.shown == ProgressStyle::kNone) return;
  const std::unique_lock lock(s.mutex, std::try_to_lock);
  if (!lock) return;  // another thread is drawing
  const auto now = Clock::now();
  if (now - s.start < std::chrono::milliseconds(500)) return;
  if (s.shown == ProgressStyle::kBar) {
    if (now - s.last < std::chrono::milliseconds(100) && s.drawn) return;
  } else {
    // Without a total, a line each time the count has doubled.
    const int64_t step = s.total == kUnknown ? std::bit_width(static_cast<uint64_t>(count))
                         : s.total > 0       ? count * 10 / s.total
                                             : 10;
    if (s.drawn && step <= s.last_step) return;
    if (s.total != kUnknown && count >= s.total) return;  // the destructor prints the last line
    s.last_step = step;
  }
  s.last = now;
  s.draw(false);
}

}  // namespace penjing
