#include "data/tagged.h"

#include <gtest/gtest.h>

#include "data/retrieval_set.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

using Words = std::vector<std::string>;

class Tagged : public ::testing::Test {
 protected:
  TestFolder folder_{"tagged"};
  TaggedData read(const std::string& name, const std::string& content) {
    write_bytes(folder_ / name, content);
    return read_tagged({folder_ / name, ""});
  }
  std::string refused(const std::string& name, const std::string& content) {
    const std::string message = error_of([&] { (void)read(name, content); });
    EXPECT_NE(message.find(name), std::string::npos) << content << ": " << message;
    return message;
  }
};

TEST_F(Tagged, Conll) {
  const TaggedData data =
      read("a.conll", "-DOCSTART- -X- O\n\n\xef\xbb\xbf \nAda NNP B-PER\r\nsaw VBD O\n\n\nRome\tB-LOC\n");
  ASSERT_EQ(data.sentences.size(), 2u);
  EXPECT_EQ(data.sentences[0].words, (Words{"Ada", "saw"}));
  EXPECT_EQ(data.sentences[0].tags, (Words{"B-PER", "O"}));
  EXPECT_EQ(data.sentences[0].line, 4u);
  EXPECT_EQ(data.sentences[1].words, (Words{"Rome"}));
  EXPECT_EQ(read("b.conll", "en:Ada\tB-PER\nen:saw\tO\n").sentences[0].words, (Words{"Ada", "saw"}));
  EXPECT_EQ(read("c.conll", "en:Ada\tB-PER\nsaw\tO\n").sentences[0].words, (Words{"en:Ada", "saw"}));
  EXPECT_NE(refused("d.conll", "Ada O\nsaw\n").find("line 2"), std::string::npos);
  (void)refused("e.conll", "\n\n");
}

TEST_F(Tagged, JsonLinesAndParallelLines) {
  EXPECT_EQ(
      read("a.jsonl", "{\"tokens\":[\"Ada\",\"saw\"],\"ner_tags\":[\"B-PER\",\"O\"]}\n").sentences[0].tags,
      (Words{"B-PER", "O"}));
  EXPECT_NE(refused("b.jsonl", "{\"tokens\":[\"Ada\"],\"tags\":[]}\n").find("1 words but 0 tags"),
            std::string::npos);
  EXPECT_NE(refused("c.jsonl", "{\"tokens\":[\"Ada\"]}\n").find("\"tags\""), std::string::npos);
  write_bytes(folder_ / "test.seq.out", "O B-song\n");
  write_bytes(folder_ / "test.label", "PlayMusic\n");
  EXPECT_EQ(read("test.seq.in", "play this\n").sentences[0].tags, (Words{"O", "B-song"}));
  const Dataset intents = read_dataset(find_split(folder_.path(), "test"));
  EXPECT_EQ(intents.examples.at(0).text, "play this");
  EXPECT_EQ(intents.examples.at(0).label, "PlayMusic");
  write_bytes(folder_ / "test.seq.out", "O B-song\nO\n");
  EXPECT_NE(error_of([&] {
              (void)read_tagged({folder_ / "test.seq.in", ""});
            }).find("2 lines"),
            std::string::npos);
}

TEST_F(Tagged, SplitsWithinOneJsonFile) {
  write_bytes(folder_ / "all.json",
              "{\"train\":[[\"a\",\"x\"],[\"b\",\"y\"],[\"c\",\"x\"]],\"val\":[{\"text\":\"d\",\"label\":1}],"
              "\"n\":3}");
  const SplitFile train = find_split(folder_.path(), "train");
  EXPECT_EQ(train.key, "train");
  const Dataset data = read_dataset(train);
  ASSERT_EQ(data.examples.size(), 3u);
  EXPECT_EQ(data.examples[1].text, "b");
  EXPECT_EQ(data.examples[1].label, "y");
  EXPECT_EQ(read_dataset(find_split(folder_ / "all.json", "dev")).examples.at(0).label, "1");
  EXPECT_NE(error_of([&] { (void)find_split(folder_.path(), "test"); }).find("all.json"), std::string::npos);
  EXPECT_NE(error_of([&] { (void)find_split(folder_.path(), "n"); }).find("all.json"), std::string::npos);
  write_bytes(folder_ / "all.json", "{\"train\":[[\"a\",\"x\"],[\"b\"]]}");
  EXPECT_NE(error_of([&] {
              (void)read_dataset({folder_ / "all.json", "train"});
            }).find("row 2"),
            std::string::npos);
}

TEST_F(Tagged, RetrievalSetsAreChecked) {
  write_bytes(folder_ / "corpus.jsonl",
              "{\"_id\":\"1\",\"title\":\"T\",\"text\":\"a\"}\n{\"_id\":2,\"text\":\"b\"}\n");
  write_bytes(folder_ / "queries.jsonl", "{\"_id\":\"q\",\"text\":\"c\"}\n");
  write_bytes(folder_ / "qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\t2\t3\n");
  const RetrievalSet set = read_retrieval_set(folder_.path(), "test");
  EXPECT_EQ(set.documents, (Words{"T a", "b"}));
  ASSERT_EQ(set.queries.size(), 1u);
  EXPECT_EQ(set.queries[0].relevant.at(1), 3);
  const auto error = [&] { return error_of([&] { (void)read_retrieval_set(folder_.path(), "test"); }); };
  write_bytes(folder_ / "qrels/test.tsv", "q\t2\t3\nq\t2\tmuch\n");
  EXPECT_NE(error().find("line 2"), std::string::npos);
  write_bytes(folder_ / "qrels/test.tsv", "r\t2\t3\n");
  EXPECT_NE(error().find("\"r\""), std::string::npos);
  write_bytes(folder_ / "qrels/test.tsv", "q\t2\t0\n");
  EXPECT_NE(error().find("no query"), std::string::npos);
  write_bytes(folder_ / "corpus.jsonl", "{\"_id\":\"1\",\"text\":\"a\"}\n{\"_id\":\"1\",\"text\":\"b\"}\n");
  EXPECT_NE(error().find("line 2"), std::string::npos);
}

}  // namespace
}  // namespace penjing
