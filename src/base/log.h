#pragma once

#include <fmt/format.h>

#include <string_view>

namespace penjing {

enum class LogLevel { kDebug, kInfo, kWarning };

// The library never prints: a message goes to the sink the program has set (the CLI: stderr through
// spdlog; default: dropped). Thread-safe.
using LogSink = void (*)(LogLevel, std::string_view message);
void set_log_sink(LogSink sink);
void log_message(LogLevel level, std::string_view message);

template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_message(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_message(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}

// True when the comma-separated list PENJING_LOG contains `topic` ("dispatch", "plan").
bool log_topic_enabled(std::string_view topic);

// The CLI's sink: spdlog to stderr, coloured on a terminal unless NO_COLOR; `quiet` keeps warnings only.
void log_to_stderr(bool quiet);

}  // namespace penjing
