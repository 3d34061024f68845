#include "data/table.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

using Row = std::vector<std::string>;

class Tables : public ::testing::Test {
 protected:
  TestFolder folder_{"tables"};
  Table read(const std::string& name, const std::string& content) {
    write_bytes(folder_ / name, content);
    return read_table(folder_ / name);
  }
  std::string refused(const std::string& name, const std::string& content) {
    const std::string message = error_of([&] { (void)read(name, content); });
    EXPECT_NE(message.find(name), std::string::npos) << content << ": " << message;
    return message;
  }
};

TEST_F(Tables, TabSeparated) {
  const Table table = read("a.tsv", "sentence\tlabel\na \"quoted\tword\n\nb\r\t1\r\n");
  EXPECT_EQ(table.columns, (Row{"sentence", "label"}));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[0], (Row{"a \"quoted", "word"}));
  EXPECT_EQ(table.rows[1], (Row{"b\r", "1"}));
  EXPECT_EQ(table.lines, (std::vector<std::size_t>{2, 4}));
  EXPECT_EQ(table.where(1), (folder_ / "a.tsv").string() + ": line 4");
  EXPECT_EQ(table.find("LABEL"), 1u);
  EXPECT_TRUE(read("b.tsv", "x\ty\nz\tw\n").columns.empty());
  EXPECT_EQ(read("c.tsv", "\xef\xbb\xbfText\tLabel\na\tb").columns[0], "Text");
  EXPECT_NE(refused("d.tsv", "a\tb\nc\n").find("line 2"), std::string::npos);
}

TEST_F(Tables, CommaSeparated) {
  const Table table = read("a.csv", "text,category\n\"one, \"\"two\"\"\nthree\",x\nplain,\"\"\nlast one,y");
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_EQ(table.rows[0], (Row{"one, \"two\"\nthree", "x"}));
  EXPECT_EQ(table.rows[1], (Row{"plain", ""}));
  EXPECT_EQ(table.lines, (std::vector<std::size_t>{2, 4, 5}));
  EXPECT_NE(refused("b.csv", "text,label\n\"never closed,1\n").find("line 2"), std::string::npos);
  EXPECT_NE(refused("c.csv", "text,label\n\"a\"b,1\n").find("closing quote"), std::string::npos);
  EXPECT_NE(refused("d.csv", "text,label\na,b,c\n").find("3 cells"), std::string::npos);
  // A tab in the first line: the STS benchmark's form, quotes are characters.
  EXPECT_EQ(read("e.csv", "a\t\"b, c\n").rows[0], (Row{"a", "\"b, c"}));
}

TEST_F(Tables, JsonLines) {
  const Table table =
      read("a.jsonl", "{\"text\":\"a\\tb\",\"label\":3}\n\n{\"label\":true,\"text\":\"c\",\"more\":[1]}\n");
  EXPECT_EQ(table.columns, (Row{"text", "label"}));
  EXPECT_EQ(table.rows[0], (Row{"a\tb", "3"}));
  EXPECT_EQ(table.rows[1], (Row{"c", "true"}));
  EXPECT_NE(refused("b.jsonl", "{\"text\":\"a\"}\n{\"t\":\"b\"}\n").find("line 2"), std::string::npos);
  EXPECT_NE(refused("c.jsonl", "{\"text\":{\"a\":1}}\n").find("line 1"), std::string::npos);
  (void)refused("d.jsonl", "[1]\n");
  (void)refused("e.jsonl", "{\n");
  (void)refused("f.xz", "x");
}

TEST_F(Tables, FiveThousandMutations) {
  const std::string whole = "text,label\n\"one, \"\"two\"\"\nthree\",x\nplain,\"\"\nlast,y\n";
  Rng rng(1);
  for (int round = 0; round < 5000; ++round) {
    std::string text = whole;
    for (int edit = 0; edit < 3; ++edit) {
      const std::size_t at = rng.below(text.size());
      if (rng.below(2) == 0) {
        text[at] = "\",\n\r\ta\0\xff"[rng.below(8)];
      } else {
        text.insert(at, 1, "\",\n\r\ta\0\xff"[rng.below(8)]);
      }
    }
    try {
      const Table table = read("m.csv", text);
      for (const auto& row : table.rows) EXPECT_GE(row.size(), table.rows.front().size());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kFormat);
    }
  }
}

TEST_F(Tables, DatasetsByNameAndShape) {
  const auto dataset = [&](const std::string& name, const std::string& content,
                           const ColumnNames& columns = {}) {
    write_bytes(folder_ / name, content);
    return read_dataset({folder_ / name, ""}, columns);
  };
  const Dataset named = dataset("a.tsv", "id\tlabel\tsentence\n7\tgood\tfine film\n");
  EXPECT_EQ(named.examples[0].text, "fine film");
  EXPECT_EQ(named.examples[0].label, "good");
  EXPECT_EQ(named.reading, "text: column sentence; label: column label");
  const Dataset pairs = dataset("b.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n");
  EXPECT_TRUE(pairs.pairs);
  EXPECT_EQ(pairs.examples[0].pair, "b");
  EXPECT_EQ(dataset("c.tsv", "gj04\t1\t\tThe sailors rode.\n").examples[0].text, "The sailors rode.");
  const Dataset sts = dataset("d.csv", "m\tM\t2012\t4\t4.75\ta man\ta boy\nm\tM\t2012\t5\t1\ta\tb\tx\ty\n");
  EXPECT_EQ(sts.examples[1].pair, "b");
  EXPECT_EQ(score_of(sts, sts.examples[0]), 4.75);
  EXPECT_EQ(dataset("e.tsv", "spam\tbuy now\nham\thello\nspam\tcheap\n").examples[0].label, "spam");
  EXPECT_EQ(dataset("f.tsv", "text\tmood\tscore\na\tglad\t1\n", {"", "", "mood"}).examples[0].label, "glad");
  EXPECT_NE(error_of([&] { (void)dataset("g.tsv", "text\tmood\na\tglad\n"); }).find("--label-column"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              (void)dataset("h.tsv", "text\tlabel\na\tb\n", {"body", "", ""});
            }).find("text, label"),
            std::string::npos);
  EXPECT_NE(error_of([&] { (void)dataset("i.tsv", "text\tlabel\na\t\n"); }).find("line 2"),
            std::string::npos);
  write_bytes(folder_ / "data/validation.jsonl", "{\"text\":\"a\",\"label\":\"b\"}\n");
  EXPECT_EQ(find_split(folder_ / "data", "dev").path, folder_ / "data/validation.jsonl");
  EXPECT_NE(error_of([&] { (void)find_split(folder_ / "data", "test"); }).find("validation.jsonl"),
            std::string::npos);
}

}  // namespace
}  // namespace penjing
