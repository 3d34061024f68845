#include "data/table.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "data/text_lines.h"

namespace penjing {

namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{4} << 30;
constexpr std::size_t kMaxJsonBytes = std::size_t{512} << 20;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// Splits delimiter-separated text; with `quotes`, cells may be quoted as RFC 4180 says.
class CellReader {
 public:
  CellReader(std::string_view text, const std::string& name, char delimiter, bool quotes)
      : text_(text), name_(name), delimiter_(delimiter), quotes_(quotes) {}

  bool next(std::vector<std::string>& cells, std::size_t& line) {
    if (at_ >= text_.size()) return false;
    line = line_;
    cells.assign(1, "");
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (quotes_ && c == '"' && cells.back().empty() && !was_quoted_) {
        read_quoted(cells.back());
        was_quoted_ = true;
        continue;
      }
      ++at_;
      if (c == delimiter_) {
        cells.emplace_back();
        was_quoted_ = false;
      } else if (c == '\n') {
        ++line_;
        break;
      } else if (c != '\r' || (at_ < text_.size() && text_[at_] != '\n')) {
        if (was_quoted_) fail(ErrorKind::kFormat, "{}: line {}: text after a closing quote", name_, line_);
        cells.back() += c;
      }
    }
    was_quoted_ = false;
    return true;
  }

 private:
  void read_quoted(std::string& cell) {
    const std::size_t opened = line_;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') {
          ++at_;
          return;
        }
        ++at_;
      }
      if (text_[at_] == '\n') ++line_;
      cell += text_[at_];
    }
    fail(ErrorKind::kFormat, "{}: line {}: a quote is never closed", name_, opened);
  }

  std::string_view text_;
  const std::string& name_;
  char delimiter_;
  bool quotes_, was_quoted_ = false;
  std::size_t at_ = 0, line_ = 1;
};

std::string cell_of(const Json& value, const std::string& where) {
  if (value.is_string()) return value.as_string(where);
  if (value.is_number() || value.is_bool()) return value.dump();
  const bool plain_list =
      value.is_array() &&
      std::none_of(value.as_array(where).begin(), value.as_array(where).end(),
                   [](const Json& item) { return item.is_array() || item.is_object() || item.is_null(); });
  if (plain_list) return value.dump();
  fail(ErrorKind::kFormat, "{}: wanted a string, a number or a list of them, found {}", where,
       value.type_name());
}

// Adds an object's members, or a list's items, as a row; the first object names the columns.
void add_json_row(Table& table, const Json& row, std::size_t line, const std::string& where) {
  std::vector<std::string> cells;
  if (row.is_array()) {
    for (const Json& item : row.as_array(where)) cells.push_back(cell_of(item, where));
    if (!table.rows.empty() && (!table.columns.empty() || cells.size() != table.rows.front().size()))
      fail(ErrorKind::kFormat, "{}: {} cells, the first row has {}", where, cells.size(),
           table.rows.front().size());
  } else {
    const auto& members = row.as_object(where);
    if (table.rows.empty()) {
      for (const auto& [key, value] : members) table.columns.push_back(key);
    }
    for (const std::string& column : table.columns) {
      const Json* value = row.find(column);
      if (value == nullptr)
        fail(ErrorKind::kFormat, "{}: \"{}\" is missing, which the first row has", where, column);
      cells.push_back(cell_of(*value, where + ": " + column));
    }
  }
  table.rows.push_back(std::move(cells));
  table.lines.push_back(line);
}

Table read_json_lines(const std::filesystem::path& path) {
  Table table;
  table.name = path.string();
  TextLines lines(path, TextLines::Content::kRaw);
  std::string text;
  for (std::size_t line = 1; lines.next(text); ++line) {
    if (line == 1 && text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = fmt::format("{}: line {}", table.name, line);
    const Json row = Json::parse(text, where);
    (void)row.as_object(where);
    add_json_row(table, row, line, where);
  }
  return table;
}

// Rows have no lines of their own here: they are numbered instead.
Table read_json_list(const std::filesystem::path& path, const std::string& key) {
  Table table;
  table.name = key.empty() ? path.string() : path.string() + ": " + key;
  const Json file = Json::parse(read_text_file(path, kMaxJsonBytes), path.string(), {kMaxJsonBytes});
  const Json* list = key.empty() ? &file : file.find(key);
  if (list == nullptr) fail(ErrorKind::kInput, "{}: no member \"{}\"", path.string(), key);
  std::size_t number = 0;
  for (const Json& row : list->as_array(table.name)) {
    ++number;
    add_json_row(table, row, number, fmt::format("{}: row {}", table.name, number));
  }
  return table;
}

}  // namespace

bool is_table_header(const std::vector<std::string>& cells) {
  static constexpr std::array kNames = {
      "text",      "sentence",  "sentence1",  "sentence2", "label",      "labels",  "score",
      "category",  "intent",    "class",      "review",    "question",   "premise", "hypothesis",
      "query",     "index",     "similarity", "quality",   "gold_label", "tag",     "target",
      "sentiment", "utterance", "passage",    "anchor",    "positive"};
  return std::any_of(cells.begin(), cells.end(), [](const std::string& cell) {
    const std::string name = lower(cell);
    return std::any_of(kNames.begin(), kNames.end(), [&](const char* known) { return name == known; });
  });
}

std::string Table::where(std::size_t row) const {
  return fmt::format("{}: line {}", name, lines[row]);
}

std::size_t Table::find(const std::string& column) const {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (lower(columns[i]) == lower(column)) return i;
  }
  return npos;
}

Table read_table(const std::filesystem::path& path, const std::string& key) {
  const std::string extension = path.extension().string();
  if (extension == ".jsonl" || extension == ".ndjson") return read_json_lines(path);
  if (extension == ".json") return read_json_list(path, key);
  if (extension == ".xz" || extension == ".gz" || extension == ".zip" || extension == ".bz2")
    fail(ErrorKind::kUnsupported, "{}: a packed file; unpack it first", path.string());
  if (extension == ".parquet" || extension == ".arrow")
    fail(ErrorKind::kUnsupported, "{}: wanted .tsv, .csv, .jsonl, .json or .txt", path.string());
  Table table;
  table.name = path.string();
  const std::string content = read_text_file(path, kMaxFileBytes);
  std::string_view text = content;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const bool tabs = text.substr(0, text.find('\n')).find('\t') != std::string_view::npos;
  const bool commas = extension == ".csv" && !tabs;
  CellReader reader(text, table.name, commas ? ',' : '\t', commas);
  std::vector<std::string> cells;
  std::size_t line = 0, wanted = 0;
  while (reader.next(cells, line)) {
    if (cells.size() == 1 && cells[0].empty()) continue;
    if (wanted == 0) {
      wanted = cells.size();
      if (is_table_header(cells)) {
        table.columns = cells;
        continue;
      }
    }
    // The STS benchmark has rows with two more cells (sources) than others.
    if (cells.size() < wanted || (commas && cells.size() != wanted)) {
      fail(ErrorKind::kFormat, "{}: line {}: {} cells, the first line has {}", table.name, line, cells.size(),
           wanted);
    }
    table.rows.push_back(std::move(cells));
    table.lines.push_back(line);
  }
  return table;
}

}  // namespace penjing
