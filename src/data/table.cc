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

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool is_header(const std::vector<std::string>& cells) {
  static constexpr std::array kNames = {
      "text",       "sentence", "sentence1",  "sentence2", "label",   "labels",     "score",     "category",
      "intent",     "class",    "review",     "question",  "premise", "hypothesis", "query",     "index",
      "similarity", "quality",  "gold_label", "tag",       "target",  "sentiment",  "utterance", "passage"};
  return std::any_of(cells.begin(), cells.end(), [](const std::string& cell) {
    const std::string name = lower(cell);
    return std::any_of(kNames.begin(), kNames.end(), [&](const char* known) { return name == known; });
  });
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
  fail(ErrorKind::kFormat, "{}: wanted a string or a number, found {}", where, value.type_name());
}

Table read_json_lines(const std::filesystem::path& path) {
  Table table;
  table.name = path.string();
  const std::string content = read_text_file(path, kMaxFileBytes);
  std::size_t line = 0;
  for (std::size_t at = 0; at < content.size();) {
    const std::size_t end = std::min(content.find('\n', at), content.size());
    const std::string_view text(content.data() + at, end - at);
    at = end + 1;
    ++line;
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}: line {}", table.name, line);
    const Json object = Json::parse(text, where);
    const auto& members = object.as_object(where);
    if (table.columns.empty()) {
      for (const auto& [key, value] : members) table.columns.push_back(key);
    }
    std::vector<std::string> cells;
    for (const std::string& column : table.columns) {
      const Json* value = object.find(column);
      if (value == nullptr)
        fail(ErrorKind::kFormat, "{}: \"{}\" is missing, which the first line has", where, column);
      cells.push_back(cell_of(*value, where + ": " + column));
    }
    table.rows.push_back(std::move(cells));
    table.lines.push_back(line);
  }
  return table;
}

}  // namespace

std::string Table::where(std::size_t row) const {
  return fmt::format("{}: line {}", name, lines[row]);
}

std::size_t Table::find(const std::string& column) const {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (lower(columns[i]) == lower(column)) return i;
  }
  return npos;
}

Table read_table(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  if (extension == ".jsonl" || extension == ".ndjson") return read_json_lines(path);
  if (extension == ".xz" || extension == ".gz" || extension == ".parquet" || extension == ".json")
    fail(ErrorKind::kUnsupported, "{}: wanted .tsv, .csv, .jsonl or .txt", path.string());
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
      if (is_header(cells)) {
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
