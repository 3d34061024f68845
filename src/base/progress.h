#pragma once

#include <cstdint>
#include <string>

namespace penjing {

enum class ProgressStyle {
  kNone,   // --quiet, and the default of the library
  kBar,    // a terminal: one line redrawn, with rate and time left
  kLines,  // a pipe: a plain line at the start, every 10 % and at the end
};
void set_progress_style(ProgressStyle style);
ProgressStyle detect_progress_style(bool quiet);  // by isatty(stderr)

std::string format_seconds(double seconds);  // "12 s", "3 min 05 s", "1 h 04 min", "2.5 days"

// Reports work of `total` units (kUnknown: not known beforehand) on stderr in the style set. Thread-safe
// advance(). A task shorter than half a second shows nothing. `first` units were done before (a run that goes
// on): they count as done, not for the rate and the time left.
class Progress {
 public:
  static constexpr int64_t kUnknown = -1;
  Progress(std::string label, int64_t total, std::string unit = "", int64_t first = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void advance(int64_t units = 1);
  // What stands at the end of each line from now on: "loss 0.412". Thread-safe; shown at the next advance().
  void set_note(std::string note);

 private:
  struct State;
  State* state_;
};

}  // namespace penjing
