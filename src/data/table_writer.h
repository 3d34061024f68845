#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/output_file.h"

namespace penjing {

// Writes rows of text cells as read_table (data/table.h) reads them, by what the file is called:
//   .jsonl  an object of strings a line
//   .csv    RFC 4180; the first line names the columns
//   .tsv    cells as they are, between tabs; the first line names the columns
// The file appears whole on commit() or not at all.
class TableWriter {
 public:
  // kInput: another ending, or columns of a .csv or .tsv of which none has a name that read_table knows for a
  // header.
  TableWriter(const std::filesystem::path& path, std::vector<std::string> columns);
  // A cell a column. kInput for a tab or a line break in a cell of a .tsv.
  void add(const std::vector<std::string>& cells);
  void commit() { file_.commit(); }

 private:
  enum class Form { kJson, kQuoted, kTabs };
  static Form form_of(const std::filesystem::path& path);
  void add_line(const std::vector<std::string>& cells);
  std::filesystem::path path_;
  Form form_;
  std::vector<std::string> columns_;
  OutputFile file_;
};

}  // namespace penjing
