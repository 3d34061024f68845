// penjing pretrain as its users run it: a fresh model learns plain text, and a run goes on to the same
// result.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "base/json.h"
#include "io/model_folder.h"
#include "model/architectures.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_folder.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;

class Pretrain : public ::testing::Test {
 protected:
  fs::path work_ =
      fs::path(::testing::TempDir()) / ("penjing_pretrain_" + std::to_string(::getpid()) + "_" +
                                        ::testing::UnitTest::GetInstance()->current_test_info()->name());
  void SetUp() override {
    if (!fs::exists(fs::path(PENJING_BINARY_DIR) / "penjing-train")) {
      GTEST_SKIP() << "built without PENJING_TRAIN";
    }
    fs::create_directories(work_);
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
    std::ofstream text(work_ / "text.txt");
    for (int i = 0; i < 200; ++i) {
      text << (i % 2 == 0 ? "the cat sat on the mat ." : "a dog ran in the big red house .") << "\n";
    }
  }
  void TearDown() override { fs::remove_all(work_); }
  std::string path(const std::string& name) const { return (work_ / name).string(); }
  ProgramResult pretrain(const std::string& out, int steps, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"pretrain",
                                          "--layers",
                                          "1",
                                          "--hidden",
                                          "32",
                                          "--heads",
                                          "2",
                                          "--tokenizer",
                                          path("model"),
                                          "--data",
                                          path("text.txt"),
                                          "--out",
                                          path(out),
                                          "--steps",
                                          std::to_string(steps),
                                          "--batch-tokens",
                                          "256",
                                          "--learning-rate",
                                          "3e-3",
                                          "--quiet",
                                          "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program({arguments});
  }
};

TEST_F(Pretrain, AFreshModelLearnsItsText) {
  EXPECT_EQ(run_program({{"pretrain", "--help"}}).status, 0);
  const ProgramResult done = pretrain("out", 40, {"--no-eval"});
  ASSERT_EQ(done.status, 0) << done.err;
  const Json report = Json::parse(done.out, "report");
  const auto& curve = report.find("curve")->as_array("curve");
  ASSERT_GE(curve.size(), 2u);
  const double first = curve.front().find("loss")->as_double("loss");
  EXPECT_LT(curve.back().find("loss")->as_double("loss"), 0.8 * first);
  const ProgramResult inspected = run_program({{"inspect", path("out"), "--json"}});
  EXPECT_EQ(inspected.status, 0) << inspected.err;
}

// Of any family, by its config.json; the vocabulary is the tokenizer's.
TEST_F(Pretrain, AFreshModelByItsConfig) {
  std::ofstream(work_ / "mobile.json")
      << R"({"model_type": "mobilebert", "vocab_size": 7, "embedding_size": 8,
      "hidden_size": 24, "intra_bottleneck_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
      "intermediate_size": 20, "num_feedforward_networks": 2, "hidden_dropout_prob": 0.0,
      "attention_probs_dropout_prob": 0.0, "max_position_embeddings": 128})";
  const auto run = [&](const std::string& out, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"pretrain",
                                          "--config",
                                          path("mobile.json"),
                                          "--tokenizer",
                                          path("model"),
                                          "--data",
                                          path("text.txt"),
                                          "--out",
                                          path(out),
                                          "--steps",
                                          "40",
                                          "--batch-tokens",
                                          "256",
                                          "--learning-rate",
                                          "3e-3",
                                          "--quiet",
                                          "--json",
                                          "--no-eval"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program({arguments});
  };
  const ProgramResult done = run("out", {});
  ASSERT_EQ(done.status, 0) << done.err;
  const Json report = Json::parse(done.out, "report");
  const auto& curve = report.find("curve")->as_array("curve");
  EXPECT_LT(curve.back().find("loss")->as_double("loss"),
            0.95 * curve.front().find("loss")->as_double("loss"));
  const Model model = read_model(work_ / "out");
  EXPECT_EQ(model.description.family, "mobilebert");
  EXPECT_EQ(model.description.embedding.vocab_size,
            read_model(work_ / "model").description.embedding.vocab_size);
  EXPECT_NE(model.description.find_head(HeadKind::kMaskedLm), nullptr);
  EXPECT_TRUE(announces(model.config, "MobileBertForMaskedLM"));
  const ProgramResult both = run("other", {"--layers", "1", "--hidden", "32"});
  EXPECT_EQ(both.status, 2);
  EXPECT_NE(both.err.find("--config FILE"), std::string::npos) << both.err;
  const ProgramResult heads = run("other", {"--heads", "2"});
  EXPECT_EQ(heads.status, 2);
  EXPECT_NE(heads.err.find("says them"), std::string::npos) << heads.err;
}

TEST_F(Pretrain, RefusesWhatIsThereAlreadyAndAnUnknownSize) {
  fs::create_directories(work_ / "out");
  std::ofstream(work_ / "out/file") << "mine";
  EXPECT_EQ(pretrain("out", 2, {"--no-eval"}).status, 2);
  EXPECT_TRUE(fs::exists(work_ / "out/file"));
  const ProgramResult size =
      run_program({{"pretrain", "--size", "gigantic", "--tokenizer", path("model"), "--data",
                    path("text.txt"), "--steps", "2", "--out", path("other")}});
  EXPECT_EQ(size.status, 2);
  EXPECT_NE(size.err.find("gigantic"), std::string::npos) << size.err;
}

}  // namespace
}  // namespace penjing
