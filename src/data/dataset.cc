#include "data/dataset.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/parse.h"
#include "data/table.h"
#include "data/text_lines.h"

namespace penjing {

namespace {

constexpr std::size_t kMaxJsonBytes = std::size_t{512} << 20;

struct Choice {
  std::size_t text = Table::npos, pair = Table::npos, label = Table::npos;
};

std::size_t first_of(const Table& table, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const std::size_t at = table.find(name); at != Table::npos) return at;
  }
  return Table::npos;
}

std::size_t named(const Table& table, const std::string& name) {
  const std::size_t at = table.find(name);
  if (at == Table::npos) {
    std::string known;
    for (const auto& column : table.columns) known += (known.empty() ? "" : ", ") + column;
    fail(ErrorKind::kInput, "{}: no column \"{}\"; there are: {}", table.name, name,
         known.empty() ? "no names (the file has no header)" : known);
  }
  return at;
}

Choice choose_by_name(const Table& table) {
  Choice choice;
  constexpr std::pair<const char*, const char*> kPairs[] = {
      {"sentence1", "sentence2"}, {"premise", "hypothesis"}, {"question1", "question2"},
      {"#1 String", "#2 String"}, {"question", "sentence"},  {"text1", "text2"}};
  for (const auto& [first, second] : kPairs) {
    if (table.find(first) == Table::npos || table.find(second) == Table::npos) continue;
    choice.text = table.find(first);
    choice.pair = table.find(second);
    break;
  }
  if (choice.text == Table::npos) {
    choice.text =
        first_of(table, {"text", "sentence", "review", "utterance", "question", "query", "content", "tweet"});
  }
  choice.label = first_of(table, {"label", "labels", "gold_label", "category", "intent", "class", "score",
                                  "similarity", "quality", "target", "sentiment", "tag"});
  return choice;
}

// Without a header.
Choice choose_by_shape(const Table& table) {
  const std::size_t columns = table.rows.empty() ? 0 : table.rows.front().size();
  if (columns == 4) return {3, Table::npos, 1};
  if (columns >= 7) return {5, 6, 4};
  if (columns != 2) return {};
  std::set<std::string> distinct[2];
  for (const auto& row : table.rows) {
    for (std::size_t c = 0; c < 2; ++c) distinct[c].insert(row[c]);
  }
  return distinct[0].size() < distinct[1].size() ? Choice{1, Table::npos, 0} : Choice{0, Table::npos, 1};
}

constexpr std::string_view kWordsSuffix = ".seq.in";

// The first of `names` that is a list in the object of a .json file; "" when there is none.
std::string member_of(const std::filesystem::path& path, const std::vector<std::string>& names) {
  const Json file = Json::parse(read_text_file(path, kMaxJsonBytes), path.string(), {kMaxJsonBytes});
  for (const std::string& name : names) {
    if (const Json* member = file.find(name); member != nullptr && member->is_array()) return name;
  }
  return "";
}

Dataset read_parallel_lines(const std::filesystem::path& path) {
  std::string name = path.string();
  name.replace(name.size() - kWordsSuffix.size(), kWordsSuffix.size(), ".label");
  const auto texts = read_text_lines(path), labels = read_text_lines(name);
  if (texts.size() != labels.size())
    fail(ErrorKind::kFormat, "{}: {} lines, {} has {}", name, labels.size(), path.string(), texts.size());
  Dataset data;
  data.file = path;
  data.reading = "text: lines; label: lines of " + std::filesystem::path(name).filename().string();
  for (std::size_t i = 0; i < texts.size(); ++i) data.examples.push_back({texts[i], "", labels[i], i + 1});
  if (data.examples.empty()) fail(ErrorKind::kInput, "{}: no row", path.string());
  return data;
}

std::string title(const Table& table, std::size_t column) {
  return table.columns.empty() ? fmt::format("column {}", column + 1) : "column " + table.columns[column];
}

}  // namespace

SplitFile find_split(const std::filesystem::path& path, const std::string& split) {
  std::error_code error;
  std::vector<std::string> names = {split};
  if (split == "dev" || split == "validation") names = {"dev", "validation", "valid", "val"};
  if (!std::filesystem::is_directory(path, error)) {
    return {path, path.extension() == ".json" ? member_of(path, names) : ""};
  }
  for (const std::string& name : names) {
    for (const char* prefix : {"", "sts-"}) {
      for (const char* extension :
           {".tsv", ".csv", ".jsonl", ".ndjson", ".json", ".txt", ".conll", ".bio", ".iob2", ".seq.in"}) {
        const auto file = path / (prefix + name + extension);
        if (std::filesystem::exists(file, error)) return {file, ""};
      }
    }
  }
  std::vector<std::filesystem::path> there;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) there.push_back(entry.path());
  std::sort(there.begin(), there.end());
  for (const auto& file : there) {
    if (file.extension() != ".json") continue;
    if (const std::string key = member_of(file, names); !key.empty()) return {file, key};
  }
  std::string list;
  for (const auto& file : there) list += (list.empty() ? "" : ", ") + file.filename().string();
  fail(ErrorKind::kInput, "{}: no {}.tsv, .csv, .jsonl, .json or .txt; there are: {}", path.string(), split,
       list.empty() ? "no files" : list);
}

Dataset read_dataset(const SplitFile& file, const ColumnNames& columns, EmptyLabels empty_labels) {
  if (file.path.string().ends_with(kWordsSuffix)) return read_parallel_lines(file.path);
  const Table table = read_table(file.path, file.key);
  Choice choice = table.columns.empty() ? choose_by_shape(table) : choose_by_name(table);
  if (!columns.text.empty()) choice.text = named(table, columns.text), choice.pair = Table::npos;
  if (!columns.pair.empty()) choice.pair = named(table, columns.pair);
  if (!columns.label.empty()) choice.label = named(table, columns.label);
  if (choice.text == Table::npos || choice.label == Table::npos) {
    std::string known;
    for (const auto& column : table.columns) known += (known.empty() ? "" : ", ") + column;
    fail(ErrorKind::kInput, "{}: cannot tell which column is {}; name it with --{}-column (there are: {})",
         table.name, choice.text == Table::npos ? "the text" : "the label",
         choice.text == Table::npos ? "text" : "label", known.empty() ? "no names" : known);
  }
  Dataset data;
  data.file = file.path;
  data.pairs = choice.pair != Table::npos;
  data.reading =
      fmt::format("text: {}{}; label: {}", title(table, choice.text),
                  data.pairs ? " and " + title(table, choice.pair) : "", title(table, choice.label));
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const auto& row = table.rows[i];
    if (row[choice.label].empty() && empty_labels == EmptyLabels::kRefused)
      fail(ErrorKind::kFormat, "{}: the label is empty", table.where(i));
    data.examples.push_back(
        {row[choice.text], data.pairs ? row[choice.pair] : "", row[choice.label], table.lines[i]});
  }
  if (data.examples.empty()) fail(ErrorKind::kInput, "{}: no row", table.name);
  return data;
}

std::vector<std::string> texts_of(const Dataset& data) {
  std::vector<std::string> texts;
  for (const Example& example : data.examples) texts.push_back(example.text);
  return texts;
}

std::vector<std::string> pairs_of(const Dataset& data) {
  std::vector<std::string> pairs;
  if (!data.pairs) return pairs;
  for (const Example& example : data.examples) pairs.push_back(example.pair);
  return pairs;
}

std::vector<std::string> labels_of(const Dataset& data, const Example& example) {
  const std::string& cell = example.label;
  std::vector<std::string> labels;
  const auto add = [&](std::string label) {
    const bool there = std::find(labels.begin(), labels.end(), label) != labels.end();
    if (!label.empty() && !there) labels.push_back(std::move(label));
  };
  if (cell.starts_with("[")) {
    const std::string where = fmt::format("{}: line {}: labels", data.file.string(), example.line);
    const Json list = Json::parse(cell, where);
    for (const Json& item : list.as_array(where)) add(item.is_number() ? item.dump() : item.as_string(where));
    return labels;
  }
  for (std::size_t begin = 0; begin <= cell.size();) {
    const std::size_t end = std::min(cell.find(',', begin), cell.size());
    const std::string part = cell.substr(begin, end - begin);
    const std::size_t first = part.find_first_not_of(" \t"), last = part.find_last_not_of(" \t");
    if (first != std::string::npos) add(part.substr(first, last - first + 1));
    begin = end + 1;
  }
  return labels;
}

double score_of(const Dataset& data, const Example& example) {
  const std::optional<double> value = as_number(example.label);
  if (!value) {
    fail(ErrorKind::kFormat, "{}: line {}: \"{}\" is not a number", data.file.string(), example.line,
         example.label);
  }
  return *value;
}

}  // namespace penjing
