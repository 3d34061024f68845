#include "data/text_tuples.h"

#include <gtest/gtest.h>

#include "tests/base/test_folder.h"

namespace penjing {
namespace {

TEST(TextTuples, ColumnsAreGuessedFromTheirNames) {
  TestFolder folder("tuples");
  write_bytes(folder / "a.tsv", "negative\tpositive\tanchor\nno\tyes\twho\n");
  const TextTuples a = read_text_tuples({folder / "a.tsv", ""});
  ASSERT_EQ(a.rows.size(), 1u);
  EXPECT_EQ(a.rows[0].anchor, "who");
  EXPECT_EQ(a.rows[0].positive, "yes");
  EXPECT_EQ(a.rows[0].negatives, std::vector<std::string>{"no"});
  EXPECT_EQ(a.reading, "anchor: column anchor; positive: column positive; negatives: column negative");
  write_bytes(folder / "b.jsonl",
              "{\"query\":\"q\",\"answer\":\"a\",\"negative_1\":\"x\",\"negative_2\":\"y\",\"other\":1}\n");
  const TextTuples b = read_text_tuples({folder / "b.jsonl", ""});
  EXPECT_EQ(b.rows[0].negatives, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(b.num_negatives, 2u);
  write_bytes(folder / "c.csv", "id,text,reply\n1,hello,world\n");
  const TextTuples c = read_text_tuples({folder / "c.csv", ""}, {"text", "reply", ""});
  EXPECT_EQ(c.rows[0].anchor + c.rows[0].positive, "helloworld");
  EXPECT_NE(error_of([&] {
              read_text_tuples({folder / "c.csv", ""});
            }).find("cannot tell"),
            std::string::npos);
}

TEST(TextTuples, WithoutAHeaderTheOrderDecides) {
  TestFolder folder("tuples");
  write_bytes(folder / "a.tsv", "one\ttwo\tthree\nfour\tfive\tsix\n");
  const TextTuples a = read_text_tuples({folder / "a.tsv", ""});
  ASSERT_EQ(a.rows.size(), 2u);
  EXPECT_EQ(a.rows[1].anchor, "four");
  EXPECT_EQ(a.rows[1].negatives, std::vector<std::string>{"six"});
  write_bytes(folder / "b.tsv", "one\ttwo\n\tfive\n");
  EXPECT_NE(error_of([&] {
              read_text_tuples({folder / "b.tsv", ""});
            }).find("line 2: the anchor is empty"),
            std::string::npos);
  write_bytes(folder / "c.txt", "alone\n");
  EXPECT_NE(error_of([&] { read_text_tuples({folder / "c.txt", ""}); }).find("1 columns"), std::string::npos);
}

}  // namespace
}  // namespace penjing
