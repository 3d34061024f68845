// penjing eval --task qa beside what training said of the same model.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_folder.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;

// Questions about a long text: half of them have an answer, which the word behind "where" names.
std::string squad(int questions) {
  const std::string words[] = {"cat", "dog", "house", "mat"};
  std::string context, qas;
  for (int i = 0; i < 12; ++i)
    context += "the big " + words[i % 4] + " sat on a red " + words[(i + 1) % 4] + " . ";
  for (int i = 0; i < questions; ++i) {
    const std::string& word = words[i % 4];
    const auto at = context.find("red " + word);
    qas += (i == 0 ? "" : ",") + std::string("{\"id\":\"") + std::to_string(i) + "\",\"question\":\"red " +
           word +
           (i % 2 == 0 ? " a\",\"answers\":[{\"text\":\"red " + word +
                             "\",\"answer_start\":" + std::to_string(at) + "}]}"
                       : " on\",\"is_impossible\":true,\"answers\":[]}");
  }
  return "{\"version\":\"v2.0\",\"data\":[{\"paragraphs\":[{\"context\":\"" + context + "\",\"qas\":[" + qas +
         "]}]}]}";
}

class EvalAnswers : public ::testing::Test {
 protected:
  fs::path work_ = fs::path(::testing::TempDir()) / ("penjing_eval_answers_" + std::to_string(::getpid()));
  void SetUp() override { fs::create_directories(work_ / "data"); }
  void TearDown() override { fs::remove_all(work_); }
  std::string path(const std::string& name) const { return (work_ / name).string(); }
};

TEST_F(EvalAnswers, ScoresAreWhatTrainingShowed) {
  if (!fs::exists(fs::path(PENJING_BINARY_DIR) / "penjing-train"))
    GTEST_SKIP() << "built without PENJING_TRAIN";
  testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
  std::ofstream(path("data/train-v2.0.json")) << squad(8);
  std::ofstream(path("data/dev-v2.0.json")) << squad(7);
  const ProgramResult trained = run_program(
      {{"finetune",     path("model"), "--task",  "qa",           "--data",  path("data"),      "--out",
        path("out"),    "--epochs",    "6",       "--batch-size", "4",       "--learning-rate", "3e-3",
        "--max-length", "32",          "--param", "doc_stride=6", "--quiet", "--json"}});
  ASSERT_EQ(trained.status, 0) << trained.err;
  const Json report = Json::parse(trained.out, "report");
  const Json& scores = *report.find("evaluations")->as_array("evaluations").back().find("scores");
  // Windows as in training without being told.
  const ProgramResult scored =
      run_program({{"eval", path("out"), "--task", "qa", "--data", path("data"), "--json"}});
  ASSERT_EQ(scored.status, 0) << scored.err;
  const Json result = Json::parse(scored.out, "scores");
  EXPECT_EQ(result.find("how")->as_string(""), "own head, windows of 32 tokens that share 6");
  EXPECT_EQ(result.find("main_metric")->as_string(""), "f1");
  EXPECT_EQ(result.find("examples")->as_int(""), 7);
  const auto& metrics = result.find("metrics")->as_object("metrics");
  EXPECT_EQ(metrics.size(), 5u);
  for (const auto& [name, value] : metrics) {
    ASSERT_NE(scores.find(name), nullptr) << name;
    EXPECT_EQ(value.find("value")->as_double(""), scores.find(name)->as_double("")) << name;
  }
  EXPECT_GT(scores.find("f1")->as_double(""), 0);
}

TEST_F(EvalAnswers, ModelsAreComparedOnTheSameQuestions) {
  testing::write_tiny_folder(work_ / "model", testing::TinyHead::kAnswers);
  std::ofstream(path("data/dev-v2.0.json")) << squad(6);
  ASSERT_EQ(run_program({{"quantize", path("model"), "--out", path("int8"), "--quiet"}}).status, 0);
  const ProgramResult scored = run_program({{"eval", path("int8"), "--task", "qa", "--data", path("data"),
                                             "--reference", path("model"), "--doc-stride", "10", "--json"}});
  ASSERT_EQ(scored.status, 0) << scored.err;
  const Json result = Json::parse(scored.out, "scores");
  const double equal = result.find("agreement")->find("equal")->as_double("");
  EXPECT_GE(equal, 0);
  EXPECT_LE(equal, 1);
  EXPECT_NE(result.find("how")->as_string("").find("that share 10"), std::string::npos);
}

TEST_F(EvalAnswers, AModelWithoutAnswersIsRefused) {
  testing::write_tiny_folder(work_ / "model", testing::TinyHead::kTokens);
  std::ofstream(path("data/dev-v2.0.json")) << squad(2);
  const ProgramResult scored = run_program({{"eval", path("model"), "--task", "qa", "--data", path("data")}});
  EXPECT_EQ(scored.status, 4) << scored.err;
  EXPECT_NE(scored.err.find("no question answering head"), std::string::npos) << scored.err;
}

}  // namespace
}  // namespace penjing
