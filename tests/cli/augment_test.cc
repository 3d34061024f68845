// penjing augment as its users run it; candidates are compared with those of penjing fill-mask.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>

#include "base/json.h"
#include "base/parse.h"
#include "data/table.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_model_test.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;

class AugmentCommand : public testing::TinyModelTest {
 protected:
  void SetUp() override {
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kMasked);
    fs::create_directories(work_ / "data");
    std::ofstream(work_ / "data/train.tsv")
        << "sentence\tlabel\nthe cat sat on the mat .\t1\na big red dog\t0\n";
  }
  ProgramResult augment(const std::string& out, std::vector<std::string> more = {},
                        const std::string& data = "data") const {
    testing::ProgramRun run{
        {"augment", path("model"), "--task", "sst2", "--data", path(data), "--out", path(out)}};
    run.arguments.insert(run.arguments.end(), more.begin(), more.end());
    return run_program(run);
  }
};

// With every word replaced, each place holds what fill-mask gives for it; all of that is seen in the end.
TEST_F(AugmentCommand, CandidatesAreThoseOfFillMask) {
  const ProgramResult made = augment(
      "augmented.tsv", {"--replace-probability", "1", "--candidates", "4", "--variants", "200", "--json"});
  ASSERT_EQ(made.status, 0) << made.err;
  const Table table = read_table(path("augmented.tsv"));
  ASSERT_EQ(table.columns, (std::vector<std::string>{"text", "label"}));
  EXPECT_EQ(Json::parse(made.out, "out").find("rows")->as_int(""), static_cast<int64_t>(table.rows.size()));
  std::map<std::size_t, std::set<std::string>> seen;
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    if (table.rows[i][1] != "0") continue;
    const auto words = split_at(table.rows[i][0], ' ');
    ASSERT_EQ(words.size(), 4u) << table.rows[i][0];
    EXPECT_EQ(words[0], "a");
    if (table.rows[i][0] == "a big red dog") continue;
    for (std::size_t w = 1; w < 4; ++w) seen[w].insert(words[w]);
  }
  const char* masked[] = {"a [MASK] red dog", "a big [MASK] dog", "a big red [MASK]"};
  for (std::size_t w = 1; w < 4; ++w) {
    const ProgramResult filled =
        run_program({{"fill-mask", path("model"), masked[w - 1], "--top-k", "4", "--json"}});
    ASSERT_EQ(filled.status, 0) << filled.err;
    std::set<std::string> wanted;
    const Json list = Json::parse(filled.out, "out");
    for (const Json& word : list.as_array("")) {
      const std::string token = word.find("token_str")->as_string("");
      if (!token.starts_with("##") && !token.starts_with("[")) wanted.insert(token);
    }
    if (wanted.empty()) wanted = {split_at("a big red dog", ' ')[w]};  // nothing to put there
    EXPECT_EQ(seen[w], wanted) << masked[w - 1];
  }
}

TEST_F(AugmentCommand, WritesTheSameOnAnyNumberOfThreads) {
  for (const char* method : {"tinybert", "bilstm"}) {
    ASSERT_EQ(augment("one.csv", {"--method", method, "--threads", "1"}).status, 0);
    ASSERT_EQ(augment("three.csv", {"--method", method, "--threads", "3"}).status, 0);
    EXPECT_EQ(read_bytes(path("one.csv")), read_bytes(path("three.csv")));
    ASSERT_EQ(augment("other.csv", {"--method", method, "--seed", "2"}).status, 0);
    EXPECT_NE(read_bytes(path("one.csv")), read_bytes(path("other.csv")));
  }
}

TEST_F(AugmentCommand, TakesPairsAndPlainTexts) {
  std::ofstream(work_ / "pairs.csv")
      << "sentence1,sentence2,label\nthe cat,a dog,yes\n\"a, red house\",big mat,no\n";
  ASSERT_EQ(augment("pairs.jsonl", {"--method", "bilstm", "--mask-probability", "0.5"}, "pairs.csv").status,
            0);
  const Table pairs = read_table(path("pairs.jsonl"));
  EXPECT_EQ(pairs.columns, (std::vector<std::string>{"sentence1", "sentence2", "label"}));
  EXPECT_EQ(pairs.rows[0], (std::vector<std::string>{"the cat", "a dog", "yes"}));
  EXPECT_GT(pairs.rows.size(), 6u);
  std::ofstream(work_ / "texts.txt") << "the cat sat\n\na red dog\n";
  const ProgramResult texts = run_program({{"augment", path("model"), "--task", "texts", "--data",
                                            path("texts.txt"), "--out", path("more.txt"), "--limit", "1"}});
  ASSERT_EQ(texts.status, 0) << texts.err;
  const std::string lines = read_bytes(path("more.txt"));
  EXPECT_TRUE(lines.starts_with("the cat sat\n")) << lines;
  EXPECT_EQ(lines.find("dog\n\n"), std::string::npos);
  EXPECT_GT(std::count(lines.begin(), lines.end(), '\n'), 2);
}

TEST_F(AugmentCommand, RefusesWhatItCannotDo) {
  const auto refused = [&](const ProgramResult& result, int status, const std::string& says) {
    EXPECT_EQ(result.status, status) << says;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
  };
  refused(augment("x.tsv", {"--method", "eda"}), 2, "tinybert, bilstm");
  refused(augment("x.tsv", {"--method", "bilstm", "--candidates", "3"}), 2, "candidates");
  refused(augment("x.tsv", {"--replace-probability", "1.5"}), 2, "replace_probability");
  refused(augment("x.pdf"), 2, ".jsonl");
  refused(augment("data/train.tsv"), 2, "is the file that is read");
  refused(augment("x.tsv", {"--task", "qa"}), 2, "");
  refused(run_program(
              {{"augment", path("model"), "--task", "qa", "--data", path("data"), "--out", path("x.tsv")}}),
          4, "no texts or pairs");
  testing::write_tiny_folder(work_ / "encoder", testing::TinyHead::kSentence);
  refused(run_program({{"augment", path("encoder"), "--task", "sst2", "--data", path("data"), "--out",
                        path("x.tsv")}}),
          4, "no head for masked words");
  EXPECT_FALSE(fs::exists(path("x.tsv")));
}

}  // namespace
}  // namespace penjing
