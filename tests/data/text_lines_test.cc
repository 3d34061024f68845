#include "data/text_lines.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace penjing {
namespace {

using Lines = std::vector<std::string>;

class TextLines : public ::testing::Test {
 protected:
  std::filesystem::path folder_ = std::filesystem::path(::testing::TempDir()) /
                                  ::testing::UnitTest::GetInstance()->current_test_info()->name();
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path make(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return folder_ / name;
  }
  ErrorKind kind_of_failure(const std::string& name, const std::string& content) const {
    try {
      read_text_lines(make(name, content), 1000);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
      return error.kind();
    }
    ADD_FAILURE() << "accepted";
    return ErrorKind::kInternal;
  }
};

TEST_F(TextLines, EndsOfLines) {
  EXPECT_EQ(read_text_lines(make("a.txt", "one\ntwo\r\nthree")), (Lines{"one", "two", "three"}));
  EXPECT_EQ(read_text_lines(make("a.txt", "one\n\ntwo\n")), (Lines{"one", "", "two"}));
  EXPECT_EQ(read_text_lines(make("a.txt", "")), Lines{});
  EXPECT_EQ(read_text_lines(make("a.txt", "\n")), Lines{""});
  EXPECT_EQ(read_text_lines(make("a.txt", std::string("a\0b\n", 4))), Lines{std::string("a\0b", 3)});
}

TEST_F(TextLines, LinesAcrossBlocks) {
  const std::string line((1 << 16) - 1, 'x');
  EXPECT_EQ(read_text_lines(make("a.txt", line + "\n" + line + "yy\nz")), (Lines{line, line + "yy", "z"}));
  EXPECT_EQ(read_text_lines(make("a.txt", line + "\r\n" + line)), (Lines{line, line}));
}

TEST_F(TextLines, JsonLines) {
  EXPECT_EQ(read_text_lines(make("a.jsonl", "{\"text\": \"one\\ntwo\", \"id\": 3}\n\"three\"\n")),
            (Lines{"one\ntwo", "three"}));
  EXPECT_EQ(kind_of_failure("b.jsonl", "{\"text\": \"one\"}\n{\"txt\": \"two\"}\n"), ErrorKind::kFormat);
  EXPECT_EQ(kind_of_failure("c.jsonl", "{\"text\": 3}\n"), ErrorKind::kFormat);
  EXPECT_EQ(kind_of_failure("d.jsonl", "not json\n"), ErrorKind::kFormat);
}

TEST_F(TextLines, Refusals) {
  EXPECT_EQ(kind_of_failure("long.txt", "short\n" + std::string(1001, 'x')), ErrorKind::kResource);
  try {
    read_text_lines(folder_ / "absent.txt");
    ADD_FAILURE() << "read a file that is not there";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
  }
}

}  // namespace
}  // namespace penjing
