// What people read: base/text_table, base/progress; and base/aligned.
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/aligned.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/text_table.h"

namespace penjing {
namespace {

TEST(TextTable, PadsByCharacters) {
  TextTable table({"name", "n"}, "lr");
  table.add_row({"caf\xc3\xa9", "1"});
  table.add_row({"x", "1,000"});
  EXPECT_EQ(table.str(), "name      n\n----  -----\ncaf\xc3\xa9      1\nx     1,000\n");
}

TEST(TextTable, Numbers) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(22713216), "22,713,216");
  EXPECT_EQ(format_count(-1234), "-1,234");
  EXPECT_EQ(format_bytes(86.7e6), "86.7 MB");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(23.5e9), "23.5 GB");
  EXPECT_EQ(nearest("quantise", {"dequantize", "quantize", "verify"}), "quantize");
}

TEST(Progress, TimesAsPeopleSayThem) {
  EXPECT_EQ(format_seconds(0.4), "0 s");
  EXPECT_EQ(format_seconds(59.4), "59 s");
  EXPECT_EQ(format_seconds(119.7), "2 min 00 s");
  EXPECT_EQ(format_seconds(3600), "1 h 00 min");
  EXPECT_EQ(format_seconds(7199), "2 h 00 min");
  EXPECT_EQ(format_seconds(60 * 3600), "2.5 days");
}

std::string progress_in_a_pipe(ProgressStyle style) {
  ::testing::internal::CaptureStderr();
  set_progress_style(style);
  {
    Progress progress("work", 100, "items");
    std::this_thread::sleep_for(std::chrono::milliseconds(520));
    for (int i = 0; i < 100; ++i) progress.advance();
  }
  set_progress_style(ProgressStyle::kNone);
  return ::testing::internal::GetCapturedStderr();
}

TEST(Progress, PlainLinesInAPipe) {
  const std::string text = progress_in_a_pipe(ProgressStyle::kLines);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("work: 100 %  100/100 items"), std::string::npos) << text;
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 12) << text;
}

TEST(Progress, ABarOnATerminal) {
  const std::string text = progress_in_a_pipe(ProgressStyle::kBar);
  EXPECT_NE(text.find('\r'), std::string::npos);
  EXPECT_TRUE(text.ends_with('\n')) << text;
}

TEST(Progress, SilentWhenQuietOrShort) {
  EXPECT_EQ(progress_in_a_pipe(ProgressStyle::kNone), "");
  ::testing::internal::CaptureStderr();
  set_progress_style(ProgressStyle::kLines);
  {
    Progress progress("short", 10);
    progress.advance(10);
  }
  set_progress_style(ProgressStyle::kNone);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(detect_progress_style(true), ProgressStyle::kNone);
}

TEST(Progress, NotesAndWorkDoneBefore) {
  ::testing::internal::CaptureStderr();
  set_progress_style(ProgressStyle::kLines);
  {
    Progress progress("train", 1000, "steps", 500);
    std::this_thread::sleep_for(std::chrono::milliseconds(520));
    progress.set_note("loss 0.412");
    progress.advance();
    progress.set_note("loss 0.25");
  }
  set_progress_style(ProgressStyle::kNone);
  const std::string text = ::testing::internal::GetCapturedStderr();
  // One step of 500 took half a second: some 250 s are left, not the half second of 501 steps.
  const auto at = text.find("train: 50 %  501/1000 steps  ");
  ASSERT_NE(at, std::string::npos) << text;
  double rate = 0;
  ASSERT_EQ(std::sscanf(text.c_str() + at, "train: 50 %%  501/1000 steps  %lf/s", &rate), 1);
  EXPECT_GT(rate, 0.1);
  EXPECT_LT(rate, 2.0);
  EXPECT_NE(text.find(" left  loss 0.412\n"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with(" s  loss 0.25\n")) << text;
}

TEST(Progress, ABarFitsTheTerminal) {
  int main_end = -1, terminal = -1;
  winsize window{};
  window.ws_col = 40;
  ASSERT_EQ(::openpty(&main_end, &terminal, nullptr, nullptr, &window), 0);
  const int kept = ::dup(STDERR_FILENO);
  ::dup2(terminal, STDERR_FILENO);
  set_progress_style(ProgressStyle::kBar);
  {
    Progress progress("train", 100, "steps");
    std::this_thread::sleep_for(std::chrono::milliseconds(520));
    progress.set_note(std::string(100, 'x'));
    progress.advance(50);
  }
  set_progress_style(ProgressStyle::kNone);
  ::dup2(kept, STDERR_FILENO);
  char buffer[4096];
  const ssize_t size = ::read(main_end, buffer, sizeof buffer);
  for (const int fd : {main_end, terminal, kept}) ::close(fd);
  const std::string text(buffer, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  const auto begin = text.find("\rtrain"), end = text.find("\x1b[K");
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  EXPECT_EQ(end - begin - 1, 39u) << text;
}

TEST(Aligned, AlignedAndZero) {
  for (const std::size_t size : {1u, 15u, 16u, 1000u}) {
    AlignedBuffer<float> buffer(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    for (const float x : buffer) EXPECT_EQ(x, 0);
    AlignedBuffer<float> moved = std::move(buffer);
    EXPECT_EQ(moved.size(), size);
  }
  EXPECT_TRUE(AlignedBuffer<int>().empty());
  EXPECT_THROW(AlignedBuffer<double>(SIZE_MAX / 4), Error);
  EXPECT_THROW(AlignedBuffer<char>(SIZE_MAX), Error);
}

}  // namespace
}  // namespace penjing
