#include "data/text_tuples.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "data/table.h"

namespace penjing {

namespace {

struct Choice {
  std::size_t anchor = Table::npos, positive = Table::npos;
  std::vector<std::size_t> negatives;
};

std::size_t choose(const Table& table, const std::string& name, std::initializer_list<const char*> guesses) {
  if (!name.empty()) return table.find(name);
  for (const char* guess : guesses) {
    if (const std::size_t at = table.find(guess); at != Table::npos) return at;
  }
  return Table::npos;
}

bool is_negative(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name.starts_with("negative");
}

Choice choose_columns(const Table& table, const ColumnNames& columns) {
  Choice choice;
  if (table.columns.empty() && columns.text.empty() && columns.pair.empty()) {
    const std::size_t count = table.rows.empty() ? 0 : table.rows.front().size();
    if (count < 2) fail(ErrorKind::kInput, "{}: {} columns, wanted two or more", table.name, count);
    choice.anchor = 0;
    choice.positive = 1;
    for (std::size_t c = 2; c < count; ++c) choice.negatives.push_back(c);
    return choice;
  }
  choice.anchor =
      choose(table, columns.text, {"anchor", "query", "question", "sentence1", "text1", "premise"});
  choice.positive =
      choose(table, columns.pair,
             {"positive", "answer", "sentence2", "text2", "document", "passage", "hypothesis", "question2"});
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    if (is_negative(table.columns[c])) choice.negatives.push_back(c);
  }
  return choice;
}

std::string title(const Table& table, std::size_t column) {
  return table.columns.empty() ? fmt::format("column {}", column + 1) : "column " + table.columns[column];
}

}  // namespace

TextTuples read_text_tuples(const SplitFile& file, const ColumnNames& columns) {
  const Table table = read_table(file.path, file.key);
  const Choice choice = choose_columns(table, columns);
  if (choice.anchor == Table::npos || choice.positive == Table::npos) {
    const bool anchor = choice.anchor == Table::npos;
    std::string known;
    for (const auto& column : table.columns) known += (known.empty() ? "" : ", ") + column;
    fail(ErrorKind::kInput,
         "{}: cannot tell which column is the {}; name it with --{}-column (there are: {})", table.name,
         anchor ? "anchor" : "positive", anchor ? "text" : "pair", known.empty() ? "no names" : known);
  }
  TextTuples tuples;
  tuples.file = file.path;
  tuples.num_negatives = choice.negatives.size();
  tuples.reading =
      fmt::format("anchor: {}; positive: {}", title(table, choice.anchor), title(table, choice.positive));
  for (std::size_t n = 0; n < choice.negatives.size(); ++n)
    tuples.reading += (n == 0 ? "; negatives: " : ", ") + title(table, choice.negatives[n]);
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const auto& row = table.rows[i];
    TextTuple tuple{row[choice.anchor], row[choice.positive], {}, table.lines[i]};
    if (tuple.anchor.empty() || tuple.positive.empty())
      fail(ErrorKind::kFormat, "{}: the {} is empty", table.where(i),
           tuple.anchor.empty() ? "anchor" : "positive");
    for (const std::size_t column : choice.negatives) {
      if (row[column].empty())
        fail(ErrorKind::kFormat, "{}: {} is empty", table.where(i), title(table, column));
      tuple.negatives.push_back(row[column]);
    }
    tuples.rows.push_back(std::move(tuple));
  }
  if (tuples.rows.empty()) fail(ErrorKind::kInput, "{}: no row", table.name);
  return tuples;
}

}  // namespace penjing
