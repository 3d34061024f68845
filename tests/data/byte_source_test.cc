#include "data/byte_source.h"

#include <gtest/gtest.h>
#include <lzma.h>
#include <zlib.h>

#include <array>

#include "base/rng.h"
#include "data/text_lines.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

std::string xz(const std::string& text) {
  std::string out(lzma_stream_buffer_bound(text.size()), '\0');
  std::size_t size = 0;
  EXPECT_EQ(
      lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const uint8_t*>(text.data()),
                              text.size(), reinterpret_cast<uint8_t*>(out.data()), &size, out.size()),
      LZMA_OK);
  out.resize(size);
  return out;
}

std::string gz(const TestFolder& folder, const std::string& text) {
  const auto path = folder / "scratch.gz";
  gzFile file = gzopen(path.c_str(), "wb");
  EXPECT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())), static_cast<int>(text.size()));
  gzclose(file);
  return read_bytes(path);
}

std::string all_of(ByteSource& source) {
  std::string text;
  std::array<char, 777> block;
  while (const std::size_t got = source.read(block)) text.append(block.data(), got);
  return text;
}

// 300 kB that do not compress to nothing.
std::string long_text() {
  Rng rng(3);
  std::string text;
  while (text.size() < 300000) text += fmt::format("line {}\n", rng.below(1000000));
  return text;
}

TEST(ByteSource, DecompressesWhatWasCompressed) {
  const TestFolder folder("byte-source");
  const std::string text = long_text();
  write_bytes(folder / "a.txt", text);
  write_bytes(folder / "a.txt.xz", xz(text));
  write_bytes(folder / "a.txt.gz", gz(folder, text));
  write_bytes(folder / "two.txt.xz", xz(text) + xz("more\n"));
  write_bytes(folder / "two.txt.gz", gz(folder, text) + gz(folder, "more\n"));
  for (const char* name : {"a.txt", "a.txt.xz", "a.txt.gz"})
    EXPECT_EQ(all_of(*open_bytes(folder / name)), text) << name;
  for (const char* name : {"two.txt.xz", "two.txt.gz"})
    EXPECT_EQ(all_of(*open_bytes(folder / name)), text + "more\n") << name;
}

TEST(ByteSource, SkipsToAnyPlace) {
  const TestFolder folder("byte-source-skip");
  const std::string text = long_text();
  write_bytes(folder / "a.txt", text);
  write_bytes(folder / "a.txt.xz", xz(text));
  write_bytes(folder / "a.txt.gz", gz(folder, text));
  for (const char* name : {"a.txt", "a.txt.xz", "a.txt.gz"}) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{200001}, text.size()}) {
      const auto source = open_bytes(folder / name);
      source->skip(bytes);
      EXPECT_EQ(all_of(*source), text.substr(bytes)) << name << " " << bytes;
    }
    const auto source = open_bytes(folder / name);
    EXPECT_NE(error_of([&] { source->skip(text.size() + 1); }).find(name), std::string::npos);
  }
}

TEST(ByteSource, RefusesDamagedFiles) {
  const TestFolder folder("byte-source-damage");
  const std::string text = long_text();
  std::string cut_xz = xz(text), cut_gz = gz(folder, text), bad_xz = xz(text), bad_gz = gz(folder, text);
  cut_xz.resize(cut_xz.size() / 2);
  cut_gz.resize(cut_gz.size() / 2);
  bad_xz[bad_xz.size() / 2] = static_cast<char>(bad_xz[bad_xz.size() / 2] ^ 0x55);
  bad_gz[bad_gz.size() / 2] = static_cast<char>(bad_gz[bad_gz.size() / 2] ^ 0x55);
  const auto failure = [&](const std::string& name, const std::string& bytes) {
    write_bytes(folder / name, bytes);
    return error_of([&] { all_of(*open_bytes(folder / name)); });
  };
  EXPECT_NE(failure("cut.txt.xz", cut_xz).find("cut.txt.xz: the .xz data are cut off"), std::string::npos);
  EXPECT_NE(failure("cut.txt.gz", cut_gz).find("cut.txt.gz: the .gz data are cut off"), std::string::npos);
  EXPECT_NE(failure("bad.txt.xz", bad_xz).find("the .xz data are damaged"), std::string::npos);
  EXPECT_NE(failure("bad.txt.gz", bad_gz).find("the .gz data are damaged"), std::string::npos);
  EXPECT_NE(failure("plain.txt.xz", "plain text, no archive").find("not in the .xz format"),
            std::string::npos);
  EXPECT_NE(failure("plain.txt.gz", "plain text, no archive").find("not in the .gz format"),
            std::string::npos);
  EXPECT_NE(failure("a.txt.zst", "x").find("may be .xz or .gz"), std::string::npos);
  EXPECT_NE(error_of([&] { open_bytes(folder / "absent.txt.gz"); }).find("cannot open"), std::string::npos);
}

TEST(ByteSource, LinesOfCompressedFilesKnowTheirPlace) {
  const TestFolder folder("byte-source-lines");
  write_bytes(folder / "a.jsonl.xz", xz("{\"text\": \"one\"}\n\"two\"\n{\"text\": \"three\"}\n"));
  EXPECT_EQ(read_text_lines(folder / "a.jsonl.xz"), (std::vector<std::string>{"one", "two", "three"}));
  TextLines lines(folder / "a.jsonl.xz");
  std::string text;
  ASSERT_TRUE(lines.next(text));
  TextLines later(folder / "a.jsonl.xz");
  later.skip_to(lines.position());
  ASSERT_TRUE(later.next(text));
  EXPECT_EQ(text, "two");
  EXPECT_EQ(later.position(), (TextLines::Position{22, 2}));
  write_bytes(folder / "bad.jsonl.gz", gz(folder, "\"one\"\n{\"label\": 1}\n"));
  EXPECT_NE(error_of([&] { read_text_lines(folder / "bad.jsonl.gz"); }).find("bad.jsonl.gz: line 2"),
            std::string::npos);
}

}  // namespace
}  // namespace penjing
