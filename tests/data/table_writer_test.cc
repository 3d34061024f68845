// What is written reads back the same.
#include "data/table_writer.h"

#include <gtest/gtest.h>

#include "data/table.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

TEST(TableWriter, RowsReadBack) {
  const TestFolder folder("table-writer");
  const std::vector<std::vector<std::string>> plain = {
      {"a \"quoted\" word", "1"}, {"'s, the", "x"}, {"\"", "2"}};
  auto hard = plain;
  hard.push_back({"two\nlines\tand a tab", ""});
  for (const auto& [name, rows] : {std::pair{"a.tsv", plain}, {"a.csv", hard}, {"a.jsonl", hard}}) {
    TableWriter writer(folder / name, {"text", "label"});
    for (const auto& row : rows) writer.add(row);
    EXPECT_FALSE(std::filesystem::exists(folder / name));
    writer.commit();
    const Table table = read_table(folder / name);
    EXPECT_EQ(table.columns, (std::vector<std::string>{"text", "label"})) << name;
    EXPECT_EQ(table.rows, rows) << name;
  }
}

TEST(TableWriter, RefusesWhatWouldNotReadBack) {
  const TestFolder folder("table-writer-refuses");
  EXPECT_NE(error_of([&] { TableWriter(folder / "a.txt", {"text"}); }).find(".jsonl"), std::string::npos);
  EXPECT_NE(error_of([&] {
              TableWriter(folder / "a.tsv", {"foo", "bar"});
            }).find("write a .jsonl"),
            std::string::npos);
  TableWriter writer(folder / "b.tsv", {"text"});
  EXPECT_NE(error_of([&] { writer.add({"a\tb"}); }).find("holds a tab"), std::string::npos);
}

}  // namespace
}  // namespace penjing
