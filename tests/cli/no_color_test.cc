// Colours appear on a terminal and not with NO_COLOR (https://no-color.org).
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

namespace penjing {
namespace {

// What `penjing doctor` writes to a terminal, log lines of the dispatch included; `no_color`: the variable's
// value, null for none. Empty when this system gives no terminal.
std::string run_on_terminal(const char* no_color) {
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child < 0) return "";
  if (child == 0) {
    ::setenv("TERM", "xterm-256color", 1);
    ::setenv("PENJING_LOG", "dispatch", 1);
    ::unsetenv("NO_COLOR");
    if (no_color != nullptr) ::setenv("NO_COLOR", no_color, 1);
    ::execl(PENJING_BINARY_DIR "/penjing", "penjing", "doctor", nullptr);
    ::_exit(127);
  }
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t size = ::read(terminal, buffer, sizeof buffer);  // EIO: the other end is closed
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(buffer, static_cast<std::size_t>(size));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(terminal);
  return status == 0 ? text : "";
}

TEST(NoColor, IsRespected) {
  const std::string coloured = run_on_terminal(nullptr);
  if (coloured.empty()) GTEST_SKIP() << "no terminal could be made";
  ASSERT_NE(coloured.find("dispatch:"), std::string::npos) << coloured;
  EXPECT_NE(coloured.find("\x1b["), std::string::npos);
  const std::string plain = run_on_terminal("1");
  ASSERT_NE(plain.find("dispatch:"), std::string::npos);
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  // By the convention an empty value does not count.
  EXPECT_NE(run_on_terminal("").find("\x1b["), std::string::npos);
}

}  // namespace
}  // namespace penjing
