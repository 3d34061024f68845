#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace penjing {

// The lines of a text file, "-" for standard input: LF or CRLF ends, a last line without one counts, an empty
// line is a text too. A ".jsonl" file holds one object with "text" (or a plain string) a line. A line beyond
// max_line_bytes is an Error naming file and line; so is an unreadable file.
std::vector<std::string> read_text_lines(const std::filesystem::path& path,
                                         std::size_t max_line_bytes = 64u << 20);

}  // namespace penjing
