// What the operating system can do to a file: base/mapped_file, base/output_file, base/hash.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/error.h"
#include "base/hash.h"
#include "base/mapped_file.h"
#include "base/output_file.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

std::size_t entries_of(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(MappedFile, ReadsTheBytes) {
  const TestFolder folder("map");
  write_bytes(folder / "f", "hello");
  const auto file = MappedFile::open(folder / "f");
  ASSERT_EQ(file->bytes().size(), 5u);
  EXPECT_EQ(std::memcmp(file->bytes().data(), "hello", 5), 0);
  file->check();
  write_bytes(folder / "empty", "");
  EXPECT_TRUE(MappedFile::open(folder / "empty")->bytes().empty());
  EXPECT_THROW((void)MappedFile::open(folder / "missing"), Error);
  EXPECT_THROW((void)MappedFile::open(folder.path()), Error);
  ::mkfifo((folder / "pipe").c_str(), 0600);
  EXPECT_THROW((void)MappedFile::open(folder / "pipe"), Error);  // and does not wait for a writer
}

// The file shrinks under the map: reads give zeros, not SIGBUS, and check() says so.
TEST(MappedFile, AFileThatShrinksIsAnError) {
  const TestFolder folder("map-shrinks");
  const std::size_t size = 1 << 20;
  write_bytes(folder / "f", std::string(size, 'x'));
  write_bytes(folder / "g", std::string(size, 'y'));
  const auto file = MappedFile::open(folder / "f"), other = MappedFile::open(folder / "g");
  ASSERT_EQ(::truncate((folder / "f").c_str(), 100), 0);
  std::size_t xs = 0, zeros = 0;
  for (const std::byte b : file->bytes()) {
    xs += b == std::byte{'x'};
    zeros += b == std::byte{0};
  }
  EXPECT_EQ(xs, 100u);
  EXPECT_EQ(zeros, size - 100);
  EXPECT_TRUE(file->poisoned());
  EXPECT_THROW(file->check(), Error);
  EXPECT_THROW(MappedFile::check_address(file->bytes().data() + 5000), Error);
  EXPECT_FALSE(other->poisoned());
  MappedFile::check_address(other->bytes().data());
  const int local = 0;
  MappedFile::check_address(&local);
}

TEST(MappedFile, TextFilesHaveALimit) {
  const TestFolder folder("text");
  write_bytes(folder / "f", "12345");
  EXPECT_EQ(read_text_file(folder / "f", 5), "12345");
  EXPECT_THROW((void)read_text_file(folder / "f", 4), Error);
  EXPECT_THROW((void)read_text_file(folder / "missing", 4), Error);
}

TEST(OutputFile, AppearsWholeOrNotAtAll) {
  const TestFolder folder("out");
  {
    OutputFile file(folder / "f");
    file.write("half");
    EXPECT_FALSE(std::filesystem::exists(folder / "f"));
  }
  EXPECT_EQ(entries_of(folder.path()), 0u);
  OutputFile file(folder / "f");
  const std::string big(3 << 20, 'b');
  file.write(big);
  file.write("end");
  file.commit();
  EXPECT_EQ(file.bytes_written(), big.size() + 3);
  EXPECT_EQ(read_bytes(folder / "f"), big + "end");
  write_text_file(folder / "f", "new");
  EXPECT_EQ(read_bytes(folder / "f"), "new");
  EXPECT_EQ(entries_of(folder.path()), 1u);
  EXPECT_THROW(write_text_file(folder / "no/such/folder", "x"), Error);
  EXPECT_THROW(write_text_file(folder.path(), "x"), Error);
}

// kill -9 in the middle: the target is what it was.
TEST(OutputFile, AKilledWriterLeavesTheTarget) {
  const TestFolder folder("out-killed");
  write_bytes(folder / "f", "before");
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    OutputFile file(folder / "f");
    file.write(std::string(5 << 20, 'x'));
    OutputFolder out(folder / "d");
    write_text_file(out.path() / "inner", "x");
    ::raise(SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_bytes(folder / "f"), "before");
  EXPECT_FALSE(std::filesystem::exists(folder / "d"));
  // And a later writer is not hindered by what was left.
  write_text_file(folder / "f", "after");
  EXPECT_EQ(read_bytes(folder / "f"), "after");
}

TEST(OutputFolder, AppearsWholeOrNotAtAll) {
  const TestFolder folder("out-folder");
  {
    OutputFolder out(folder / "d");
    write_text_file(out.path() / "a", "1");
  }
  EXPECT_EQ(entries_of(folder.path()), 0u);
  for (const char* name : {"d", "e/", "deep/er"}) {
    OutputFolder out(folder / name);
    std::filesystem::create_directories(out.path() / "sub");
    write_text_file(out.path() / "sub/a", "1");
    out.commit();
    EXPECT_EQ(read_bytes(folder / (std::string(name) + "/sub/a")), "1") << name;
  }
  // What is there is never touched.
  EXPECT_THROW(OutputFolder(folder / "d"), Error);
  write_bytes(folder / "file", "x");
  EXPECT_THROW(OutputFolder(folder / "file"), Error);
  std::filesystem::create_symlink("d", folder / "link");
  EXPECT_THROW(OutputFolder(folder / "link"), Error);
  // A target that came to be while we wrote.
  OutputFolder late(folder / "late");
  write_text_file(late.path() / "a", "ours");
  write_bytes(folder / "late/a", "theirs");
  EXPECT_THROW(late.commit(), Error);
  EXPECT_EQ(read_bytes(folder / "late/a"), "theirs");
}

TEST(AppendFile, GrowsAndRefusesToBeginTwice) {
  const TestFolder folder("append");
  {
    AppendFile file(folder / "log", AppendFile::Open::kCreate);
    file.append("one\n");
    EXPECT_EQ(read_bytes(folder / "log"), "one\n");  // before it is closed
    file.append("two\n");
  }
  EXPECT_THROW(AppendFile(folder / "log", AppendFile::Open::kCreate), Error);
  AppendFile(folder / "log", AppendFile::Open::kExtend).append("three\n");
  EXPECT_EQ(read_bytes(folder / "log"), "one\ntwo\nthree\n");
  AppendFile(folder / "new", AppendFile::Open::kExtend).append("x");
  EXPECT_EQ(read_bytes(folder / "new"), "x");
  AppendFile full("/dev/full", AppendFile::Open::kExtend);
  try {
    full.append("x");
    FAIL() << "a full disk was not noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kResource);
  }
}

TEST(Hash, Sha256) {
  const auto hex = [](const std::string& text) { return sha256_hex(std::as_bytes(std::span(text))); };
  EXPECT_EQ(hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  const TestFolder folder("hash");
  write_bytes(folder / "f", std::string(1000000, 'a'));
  EXPECT_EQ(sha256_file(folder / "f"), hex(std::string(1000000, 'a')));
  EXPECT_THROW((void)sha256_file(folder / "missing"), Error);
}

}  // namespace
}  // namespace penjing
