#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace penjing {

// The lines of a text file, one after the other; "-" is standard input. LF or CRLF ends, a last line without
// one counts, an empty line is a text too. A ".jsonl" file holds one object with "text" (or a plain string) a
// line.
class TextLines {
 public:
  enum class Content { kByName, kRaw };  // kRaw: lines as they are, whatever the file is called
  // kIo when the file cannot be opened.
  explicit TextLines(const std::filesystem::path& path, Content content = Content::kByName,
                     std::size_t max_line_bytes = 64u << 20);
  // False at the end. A line beyond max_line_bytes (kResource) or that is no such object (kFormat) is an
  // Error naming file and line; so is an unreadable file (kIo).
  bool next(std::string& text);

 private:
  void fill();
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::string name_, block_;
  std::size_t at_ = 0, line_number_ = 0, max_line_bytes_;
  bool json_ = false;
};

// How many there are; -1 when that cannot be told beforehand (standard input, a pipe).
int64_t count_text_lines(const std::filesystem::path& path);

// All of them.
std::vector<std::string> read_text_lines(const std::filesystem::path& path,
                                         std::size_t max_line_bytes = 64u << 20);

}  // namespace penjing
