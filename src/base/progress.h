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

// Reports work of `total` units (kUnknown: not known beforehand) on stderr in the style set. Thread-safe
// advance(). A task shorter than half a second shows nothing.
class Progress {
 public:
  static constexpr int64_t kUnknown = -1;
  Progress(std::string label, int64_t total, std::string unit = "");
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void advance(int64_t units = 1);

 private:
  struct State;
  State* state_;
};

}  // namespace penjing
