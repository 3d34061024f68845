#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace penjing {

// Rows of text cells, as people keep their data.
struct Table {
  std::string name;                  // of the file, for messages
  std::vector<std::string> columns;  // empty: the file has no header
  std::vector<std::vector<std::string>> rows;
  std::vector<std::size_t> lines;  // where each row begins in the file, from 1

  // "FILE: line 12"
  std::string where(std::size_t row) const;
  // Index of a column by name, without regard to case; npos when there is none.
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
  std::size_t find(const std::string& column) const;
};

// Whether one of the cells is a name that people give columns ("text", "label", "sentence1", ...), without
// regard to case.
bool is_table_header(const std::vector<std::string>& cells);

// Reads a table by what the file is:
//   .jsonl  an object a line; numbers and booleans become their text, lists of such their JSON
//           text, other values are refused
//   .json   a list of objects or of lists of cells; with `key`, such a list under that key of an object
//   .csv    RFC 4180: quoted cells, doubled quotes, line breaks within quotes. With a tab in its first line
//   it is read
//           as tab-separated (the STS benchmark calls its files so)
//   else    tab-separated; a quote is a character like any other
// A byte order mark is dropped. The first line is a header when it holds a name that people give columns
// ("text", "label", "sentence1", ...). Every row must have as many cells as the first (a row of one empty
// cell is left out); an uneven one is a kFormat error naming file and line.
Table read_table(const std::filesystem::path& path, const std::string& key = "");

}  // namespace penjing
