// A sentence model with a prompt: training, eval, embed and classify put it before texts alike.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
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

class Prompts : public ::testing::Test {
 protected:
  fs::path work_ = fs::path(::testing::TempDir()) / ("penjing_prompts_" + std::to_string(::getpid()));
  void SetUp() override {
    fs::create_directories(work_ / "scores");
    fs::create_directories(work_ / "beir/qrels");
    fs::create_directories(work_ / "classes");
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
    set_prompts("\"plain\"");
    const char* words[] = {"cat", "dog", "house", "mat"};
    for (const char* split : {"train", "dev"}) {
      std::ofstream rows(path(std::string("scores/") + split + ".tsv"));
      std::ofstream classes(path(std::string("classes/") + split + ".tsv"));
      rows << "sentence1\tsentence2\tscore\n";
      classes << "text\tlabel\n";
      for (int i = 0; i < 12; ++i) {
        rows << "the " << words[i % 4] << " sat\ta " << words[(i * i + 1) % 4] << " ran\t" << (i % 5) << "\n";
        classes << "the " << words[i % 4] << " sat on\t" << (i % 2 == 0 ? "x" : "y") << "\n";
      }
    }
    std::ofstream corpus(path("beir/corpus.jsonl")), queries(path("beir/queries.jsonl"));
    std::ofstream qrels(path("beir/qrels/test.tsv"));
    qrels << "query-id\tcorpus-id\tscore\n";
    for (int i = 0; i < 4; ++i) {
      corpus << "{\"_id\":\"d" << i << "\",\"text\":\"a " << words[i] << " in red\"}\n";
      queries << "{\"_id\":\"q" << i << "\",\"text\":\"" << words[(i + 1) % 4] << "\"}\n";
      qrels << "q" << i << "\td" << i << "\t1\n";
    }
  }
  void TearDown() override { fs::remove_all(work_); }
  void set_prompts(const std::string& fallback) {
    std::ofstream(path("model/config_sentence_transformers.json"))
        << R"({"prompts":{"plain":"big red , ","query":"on the "},"default_prompt_name":)" << fallback << "}";
  }
  std::string path(const std::string& name) const { return (work_ / name).string(); }
  Json metrics(const std::string& model, const std::string& task, const std::string& data) const {
    const ProgramResult scored =
        run_program({{"eval", path(model), "--task", task, "--data", path(data), "--json"}});
    EXPECT_EQ(scored.status, 0) << scored.err;
    return *Json::parse(scored.out, "scores").find("metrics");
  }
  static double value(const Json& metrics, const char* name) {
    return metrics.find(name)->find("value")->as_double("");
  }
};

TEST_F(Prompts, EvalPutsThemBeforeTexts) {
  const Json with = metrics("model", "stsb", "scores");
  const Json ranked = metrics("model", "retrieval", "beir");
  set_prompts("null");  // the query's stays
  const Json without = metrics("model", "stsb", "scores");
  EXPECT_NE(value(with, "pearson"), value(without, "pearson"));
  // Cosines of what `embed` writes with the same prompt.
  set_prompts("\"plain\"");
  std::ofstream(path("first.txt")) << "the cat sat\n";
  const ProgramResult by_default = run_program({{"embed", path("model"), "the cat sat"}});
  set_prompts("null");
  const ProgramResult by_hand = run_program({{"embed", path("model"), "big red , the cat sat"}});
  EXPECT_EQ(by_default.out, by_hand.out);
  // Retrieval: "query" for queries; documents have the default one.
  fs::remove(path("model/config_sentence_transformers.json"));
  std::ofstream corpus(path("beir/corpus.jsonl")), queries(path("beir/queries.jsonl"));
  const char* words[] = {"cat", "dog", "house", "mat"};
  for (int i = 0; i < 4; ++i) {
    corpus << "{\"_id\":\"d" << i << "\",\"text\":\"big red , a " << words[i] << " in red\"}\n";
    queries << "{\"_id\":\"q" << i << "\",\"text\":\"on the " << words[(i + 1) % 4] << "\"}\n";
  }
  corpus.close();
  queries.close();
  EXPECT_EQ(metrics("model", "retrieval", "beir").dump(), ranked.dump());
}

TEST_F(Prompts, TrainingScoresAsEvalDoes) {
  if (!fs::exists(fs::path(PENJING_BINARY_DIR) / "penjing-train"))
    GTEST_SKIP() << "built without PENJING_TRAIN";
  for (const std::string task : {"similarity", "few-shot"}) {
    SCOPED_TRACE(task);
    const bool classes = task == "few-shot";
    const std::string data = classes ? "classes" : "scores";
    const ProgramResult trained =
        run_program({{"finetune", path("model"), "--task", task, "--data", path(data), "--out", path(task),
                      "--epochs", "2", "--batch-size", "4", "--learning-rate", "1e-3", "--quiet", "--json"}});
    ASSERT_EQ(trained.status, 0) << trained.err;
    const Json report = Json::parse(trained.out, "report");
    const Json& scores = *report.find("evaluations")->as_array("evaluations").back().find("scores");
    const Json scored = metrics(task, classes ? "classification" : "stsb", data);
    for (const char* name : {classes ? "accuracy" : "pearson", classes ? "f1_macro" : "spearmanr"})
      EXPECT_NEAR(value(scored, name), scores.find(name)->as_double(""), 1e-5) << name;
  }
}

}  // namespace
}  // namespace penjing
