#include "data/table_writer.h"

#include "base/error.h"
#include "base/json.h"
#include "data/table.h"

namespace penjing {

namespace {

std::string quoted(const std::string& cell) {
  if (cell.find_first_of(",\"\r\n\t") == std::string::npos) return cell;
  std::string text = "\"";
  for (const char c : cell) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + "\"";
}

}  // namespace

TableWriter::Form TableWriter::form_of(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  if (ending == ".jsonl") return Form::kJson;
  if (ending == ".csv") return Form::kQuoted;
  if (ending == ".tsv") return Form::kTabs;
  fail(ErrorKind::kInput, "{}: wanted a file that ends in .jsonl, .csv or .tsv", path.string());
}

TableWriter::TableWriter(const std::filesystem::path& path, std::vector<std::string> columns)
    : path_(path), form_(form_of(path)), columns_(std::move(columns)), file_(path) {
  if (form_ == Form::kJson) return;
  if (!is_table_header(columns_)) {
    fail(ErrorKind::kInput,
         "{}: no column is called as columns usually are (text, label, ...); write a .jsonl", path.string());
  }
  add_line(columns_);
}

void TableWriter::add(const std::vector<std::string>& cells) {
  if (cells.size() != columns_.size())
    fail(ErrorKind::kInternal, "{}: {} cells for {} columns", path_.string(), cells.size(), columns_.size());
  if (form_ != Form::kJson) return add_line(cells);
  Json row = Json::object();
  for (std::size_t c = 0; c < cells.size(); ++c) row.set(columns_[c], cells[c]);
  file_.write(row.dump() + "\n");
}

void TableWriter::add_line(const std::vector<std::string>& cells) {
  std::string line;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    if (form_ == Form::kTabs && cells[c].find_first_of("\t\r\n") != std::string::npos) {
      fail(ErrorKind::kInput, "{}: \"{}\" holds a tab or a line break; write a .jsonl or a .csv",
           path_.string(), cells[c].substr(0, 80));
    }
    if (c > 0) line += form_ == Form::kTabs ? '\t' : ',';
    line += form_ == Form::kTabs ? cells[c] : quoted(cells[c]);
  }
  file_.write(line + "\n");
}

}  // namespace penjing
