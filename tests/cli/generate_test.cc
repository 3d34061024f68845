// penjing generate as its users run it.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/json.h"
#include "data/table.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_model_test.h"

namespace penjing {
namespace {

using testing::ProgramResult;
using testing::run_program;

class GenerateCommand : public testing::TinyModelTest {
 protected:
  void SetUp() override {
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kMasked);
    testing::write_tiny_folder(work_ / "teacher", testing::TinyHead::kClassifier);
  }
  ProgramResult generate(const std::string& out, const std::vector<std::string>& more = {}) const {
    testing::ProgramRun run{
        {"generate", path("model"), "--teacher", path("teacher"), "--count", "12", "--out", path(out)}};
    if (std::find(more.begin(), more.end(), "--confidence") == more.end())
      run.arguments.insert(run.arguments.end(), {"--confidence", "0.3"});
    run.arguments.insert(run.arguments.end(), more.begin(), more.end());
    return run_program(run);
  }
};

// What is written is what the teacher says of it.
TEST_F(GenerateCommand, WritesTextsAndWhatTheTeacherCallsThem) {
  const ProgramResult made = generate("made.jsonl", {"--any-balance", "--json"});
  ASSERT_EQ(made.status, 0) << made.err;
  const Json json = Json::parse(made.out, "out");
  EXPECT_EQ(json.find("kept")->as_int(""), 12);
  const Table table = read_table(path("made.jsonl"));
  ASSERT_EQ(table.rows.size(), 12u);
  std::vector<std::string> arguments = {"classify", path("teacher"), "--json"};
  for (const auto& row : table.rows) arguments.push_back(row[0]);
  const ProgramResult said = run_program({arguments});
  ASSERT_EQ(said.status, 0) << said.err;
  std::size_t begin = 0;
  for (const auto& row : table.rows) {
    const std::size_t end = said.out.find('\n', begin);
    const Json best = Json::parse(said.out.substr(begin, end - begin), "said").as_array("")[0];
    EXPECT_EQ(best.find("label")->as_string(""), row[1]) << row[0];
    EXPECT_GE(best.find("score")->as_double(""), 0.3);
    begin = end + 1;
  }
}

TEST_F(GenerateCommand, WritesTheSameOnAnyNumberOfThreads) {
  ASSERT_EQ(generate("one.tsv", {"--any-balance", "--threads", "1"}).status, 0);
  ASSERT_EQ(generate("three.tsv", {"--any-balance", "--threads", "3"}).status, 0);
  EXPECT_EQ(read_bytes(path("one.tsv")), read_bytes(path("three.tsv")));
  ASSERT_EQ(generate("other.tsv", {"--any-balance", "--seed", "2"}).status, 0);
  EXPECT_NE(read_bytes(path("one.tsv")), read_bytes(path("other.tsv")));
}

TEST_F(GenerateCommand, RefusesWhatItCannotDo) {
  const auto refused = [&](const ProgramResult& result, int status, const std::string& says) {
    EXPECT_EQ(result.status, status) << says;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
  };
  refused(generate("x.tsv", {"--max-length", "63"}), 2, "wanted 1 to 62");
  refused(generate("x.pdf"), 2, ".jsonl");
  refused(generate("x.tsv", {"--confidence", "1", "--tries", "20"}), 2, "sure of none");
  refused(run_program({{"generate", path("model"), "--teacher", path("model"), "--out", path("x.tsv")}}), 4,
          "no sequence classification head");
  refused(run_program({{"generate", path("teacher"), "--teacher", path("teacher"), "--out", path("x.tsv")}}),
          4, "no head for masked words");
  EXPECT_FALSE(std::filesystem::exists(path("x.tsv")));
}

}  // namespace
}  // namespace penjing
