// What the library says without printing: base/log, base/error, base/interrupt.
#include "base/log.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/interrupt.h"

namespace penjing {
namespace {

std::vector<std::pair<LogLevel, std::string>> heard;

TEST(Log, GoesToTheSinkOrNowhere) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  set_log_sink(nullptr);
  log_warning("dropped {}", 1);
  heard.clear();
  set_log_sink([](LogLevel level, std::string_view message) { heard.emplace_back(level, message); });
  log_warning("{} of {}", 2, "three");
  log_info("plain");
  set_log_sink(nullptr);
  log_info("dropped as well");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  ASSERT_EQ(heard.size(), 2u);
  EXPECT_EQ(heard[0], (std::pair{LogLevel::kWarning, std::string("2 of three")}));
  EXPECT_EQ(heard[1], (std::pair{LogLevel::kInfo, std::string("plain")}));
}

TEST(Log, TopicsAreWholeWords) {
  const char* before = std::getenv("PENJING_LOG");
  const std::string kept = before != nullptr ? before : "";
  ::unsetenv("PENJING_LOG");
  EXPECT_FALSE(log_topic_enabled("plan"));
  for (const auto& [value, plan, dispatch] : {std::tuple<const char*, bool, bool>{"", false, false},
                                              {"plan", true, false},
                                              {"dispatch,plan", true, true},
                                              {"plan,", true, false},
                                              {",plan", true, false},
                                              {"plans", false, false},
                                              {"pla", false, false},
                                              {"a,dispatch,b", false, true}}) {
    ::setenv("PENJING_LOG", value, 1);
    EXPECT_EQ(log_topic_enabled("plan"), plan) << value;
    EXPECT_EQ(log_topic_enabled("dispatch"), dispatch) << value;
  }
  before != nullptr ? ::setenv("PENJING_LOG", kept.c_str(), 1) : ::unsetenv("PENJING_LOG");
}

TEST(Error, CarriesKindMessageAndCode) {
  try {
    fail_rule(ErrorKind::kFormat, "f.rule", "{}: wanted {}, found {}", "file", 3, 4);
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "file: wanted 3, found 4");
    EXPECT_EQ(error.kind(), ErrorKind::kFormat);
    EXPECT_EQ(error.code(), "f.rule");
  }
  try {
    fail(ErrorKind::kIo, "{}", "{not a placeholder}");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "{not a placeholder}");
    EXPECT_EQ(error.code(), "");
  }
  std::vector<std::string> names;
  for (const auto kind : {ErrorKind::kInput, ErrorKind::kFormat, ErrorKind::kUnsupported, ErrorKind::kIo,
                          ErrorKind::kResource, ErrorKind::kInternal}) {
    names.emplace_back(to_string(kind));
    EXPECT_FALSE(names.back().empty());
    for (std::size_t i = 0; i + 1 < names.size(); ++i) EXPECT_NE(names[i], names.back());
  }
}

// The first signal unwinds, the second ends the process. In a child, whose flag is its own.
TEST(Interrupt, OneSignalUnwindsTwoEnd) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      install_interrupt_handler();
      check_interrupt();
      if (interrupted()) ::_exit(1);
      ::raise(signal);
      if (!interrupted()) ::_exit(2);
      try {
        check_interrupt();
        ::_exit(3);
      } catch (const Interrupted&) {
      }
      ::raise(signal);
      ::_exit(4);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 130);
  }
  EXPECT_FALSE(interrupted());
}

}  // namespace
}  // namespace penjing
