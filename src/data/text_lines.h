#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/byte_source.h"

namespace penjing {

// The lines of a text file, one after the other; "-" is standard input; ".xz" and ".gz" files are
// decompressed. LF or CRLF ends, a last line without one counts, an empty line is a text too. A ".jsonl" file
// holds one object with "text" (or a plain string) a line.
class TextLines {
 public:
  enum class Content { kByName, kRaw };  // kRaw: lines as they are, whatever the file is called
  // kIo when the file cannot be opened.
  explicit TextLines(const std::filesystem::path& path, Content content = Content::kByName,
                     std::size_t max_line_bytes = 64u << 20);
  // False at the end. A line beyond max_line_bytes (kResource) or that is no such object (kFormat) is an
  // Error naming file and line; so is an unreadable file (kIo).
  bool next(std::string& text);

  // Where the next line begins: bytes of the (decompressed) content and lines before it.
  struct Position {
    uint64_t byte = 0, line = 0;
    bool operator==(const Position&) const = default;
  };
  Position position() const { return {block_begin_ + at_, line_number_}; }
  // Goes on from a position that position() gave; only forward, from a reader that has read nothing.
  void skip_to(const Position& position);
  bool is_json() const { return json_; }

 private:
  void fill();
  std::unique_ptr<ByteSource> source_;
  std::string name_, block_;
  uint64_t block_begin_ = 0, line_number_ = 0;
  std::size_t at_ = 0, max_line_bytes_;
  bool json_ = false;
};

// How many there are; -1 when that cannot be told beforehand (standard input, a pipe, compressed).
int64_t count_text_lines(const std::filesystem::path& path);

// All of them.
std::vector<std::string> read_text_lines(const std::filesystem::path& path,
                                         std::size_t max_line_bytes = 64u << 20);

}  // namespace penjing
