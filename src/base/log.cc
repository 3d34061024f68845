#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace penjing {

namespace {
std::atomic<LogSink> sink{nullptr};
std::atomic<bool> quiet_mode{false};

void stderr_sink(LogLevel level, std::string_view message) {
  static const auto logger = [] {
    const bool plain = std::getenv("NO_COLOR") != nullptr && *std::getenv("NO_COLOR") != '\0';
    auto result =
        plain ? std::make_shared<spdlog::logger>("penjing", std::make_shared<spdlog::sinks::stderr_sink_mt>())
              : std::make_shared<spdlog::logger>("penjing",
                                                 std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    result->set_pattern("%^%l%$: %v");
    result->set_level(spdlog::level::debug);
    return result;
  }();
  if (quiet_mode && level != LogLevel::kWarning) return;
  const auto text = spdlog::string_view_t(message.data(), message.size());
  switch (level) {
    case LogLevel::kDebug:
      logger->debug(text);
      break;
    case LogLevel::kInfo:
      logger->info(text);
      break;
    case LogLevel::kWarning:
      logger->warn(text);
      break;
  }
}
}  // namespace

void set_log_sink(LogSink new_sink) {
  sink = new_sink;
}

void log_message(LogLevel level, std::string_view message) {
  if (const LogSink current = sink) current(level, message);
}

bool log_topic_enabled(std::string_view topic) {
  const char* topics = std::getenv("PENJING_LOG");
  if (topics == nullptr) return false;
  std::string_view rest = topics;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    if (rest.substr(0, comma) == topic) return true;
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  return false;
}

void log_to_stderr(bool quiet) {
  quiet_mode = quiet;
  set_log_sink(stderr_sink);
}

}  // namespace penjing
