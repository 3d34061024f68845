// What a teacher said once is what it would say again: of every kind of output, from memory, from files, in
// part from files; and what is too large is not kept.
#include "distill/kept_answers.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "distill/answers.h"
#include "distill/top_logits.h"
#include "io/model_folder.h"
#include "io/safetensors.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/distill/tiny_task.h"
#include "train/finetune.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using distill::KeptAnswers;

constexpr const char* kEveryOutput = R"([
  {"loss": "kd"}, {"loss": "mse", "layers": "uniform"}, {"loss": "mse", "name": "mixed", "layers": "attention"},
  {"loss": "attention_mse"}, {"loss": "attention_kl", "to": 0.5},
  {"loss": "minilm", "params": {"relations": ["query", "key", "value"]}}, {"loss": "pkd", "layers": "final"}])";

class KeptAnswersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("PENJING_CACHE", (work_ / "cache").c_str(), 1);
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
    testing::write_task(work_.path(), {"the cat sat\t0", "a dog ran on the big mat\t1", "dog\t1",
                                       "the big cat sat in the house\t0"});
    (void)train::finetune(training("teacher", 3), testing::kQuiet);
  }
  train::FinetuneSettings training(const std::string& out, double epochs) const {
    train::FinetuneSettings s = testing::tiny_training(work_.path(), out, epochs);
    s.eval_split = "";
    return s;
  }
  // The loss at the end; `told_`: what was said.
  double run(const std::string& losses, KeptAnswers answers, double gb = 4,
             const std::string& precision = "fp32") {
    distill::DistillSettings s;
    s.training = training(fmt::format("out-{}", runs_++), 2);
    s.training.loop.precision = precision;
    s.teacher = (work_ / "teacher").string();
    s.losses = Json::parse(losses, "losses");
    s.answers = answers;
    s.answers_gb = gb;
    s.answers_top = 3;
    told_.clear();
    return distill::distill(s, [this](const std::string& text) { told_ += text; }).loop.loss;
  }
  bool told(const char* text) const { return told_.find(text) != std::string::npos; }
  std::vector<std::string> files() const {
    std::vector<std::string> parts;
    std::error_code none;
    for (const auto& file : fs::directory_iterator(work_ / "cache/teacher", none)) {
      for (const auto& [key, value] : read_safetensors(file.path()).metadata) {
        if (key == "part") parts.push_back(value);
      }
    }
    std::sort(parts.begin(), parts.end());
    return parts;
  }
  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
  std::string told_;
  int runs_ = 0;
};

TEST_F(KeptAnswersTest, EveryOutputIsWhatItWas) {
  const double anew = run(kEveryOutput, KeptAnswers::kNone);
  EXPECT_TRUE(files().empty());
  const double first = run(kEveryOutput, KeptAnswers::kExact);
  EXPECT_TRUE(told("in the cache")) << told_;
  EXPECT_NEAR(first, anew, 1e-5 * anew);
  const std::vector<std::string> kept = files();
  EXPECT_EQ(std::count(kept.begin(), kept.end(), "logits"), 1);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), "layer.2.scores"), 1);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), "layer.2.keys"), 1);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), "layer.2.first"), 0);  // among layer.2.states
  EXPECT_EQ(run(kEveryOutput, KeptAnswers::kExact), first);
  EXPECT_TRUE(told("from an earlier run")) << told_;
  EXPECT_EQ(files(), kept);
  // Another plan finds what it shares, and asks for the rest.
  const double patience = run(R"([{"loss": "kd"}, {"loss": "pkd", "layers": "final"}])", KeptAnswers::kExact);
  EXPECT_EQ(files().size(), kept.size() + 1);
  EXPECT_NEAR(run(R"([{"loss": "kd"}, {"loss": "pkd", "layers": "final"}])", KeptAnswers::kNone), patience,
              1e-5 * patience);
}

TEST_F(KeptAnswersTest, RoundedTakeHalfAndAreNear) {
  const double anew = run(kEveryOutput, KeptAnswers::kNone);
  const double rounded = run(kEveryOutput, KeptAnswers::kBf16);
  EXPECT_NE(rounded, anew);
  EXPECT_NEAR(rounded, anew, 0.02 * anew);
  for (const auto& file : fs::directory_iterator(work_ / "cache/teacher")) {
    EXPECT_EQ(read_safetensors(file.path()).tensors.at(distill::kAnswers).type, DType::kBF16);
  }
  // Exact ones are other files.
  const std::size_t before = files().size();
  (void)run(kEveryOutput, KeptAnswers::kExact);
  EXPECT_EQ(files().size(), 2 * before);
}

TEST_F(KeptAnswersTest, InBf16NothingIsLost) {
  const double anew = run(kEveryOutput, KeptAnswers::kNone, 4, "bf16");
  EXPECT_NEAR(run(kEveryOutput, KeptAnswers::kExact, 4, "bf16"), anew, 2e-2 * anew);
  const double first = run(kEveryOutput, KeptAnswers::kExact, 4, "bf16");
  EXPECT_EQ(run(kEveryOutput, KeptAnswers::kExact, 4, "bf16"), first);
}

TEST_F(KeptAnswersTest, WhatIsTooLargeIsAskedForAtEveryStep) {
  const double anew = run(kEveryOutput, KeptAnswers::kNone);
  EXPECT_EQ(run(kEveryOutput, KeptAnswers::kExact, 1e-6), anew);
  EXPECT_TRUE(told("asked for at every step")) << told_;
  EXPECT_TRUE(files().empty());
}

TEST(TopLogits, LargestKeepTheirProbabilities) {
  at::manual_seed(3);
  const at::Tensor logits = at::randn({50, 40}) * 6;
  logits[0].fill_(2);                                               // all alike
  logits[1].fill_(-std::numeric_limits<float>::infinity())[7] = 1;  // one alone
  const at::Tensor kept = distill::shorten_logits(logits, 5);
  EXPECT_EQ(kept.sizes(), (at::IntArrayRef{50, 11}));
  const at::Tensor restored = distill::restore_logits(kept, 40);
  ASSERT_EQ(restored.sizes(), logits.sizes());
  const at::Tensor was = at::softmax(logits.to(at::kDouble), 1),
                   is = at::softmax(restored.to(at::kDouble), 1);
  const at::Tensor largest = std::get<1>(at::topk(logits, 5, 1));
  EXPECT_TRUE(at::allclose(was.gather(1, largest), is.gather(1, largest), 1e-5, 1e-9));
  EXPECT_TRUE(at::equal(logits.gather(1, largest), restored.gather(1, largest)));
  // Each of the others has the 35th part of what they had together.
  const at::Tensor others = 1 - was.gather(1, largest).sum(1);
  EXPECT_TRUE(at::allclose(is.scatter(1, largest, 0),
                           (others / 35).unsqueeze(1).expand({50, 40}).scatter(1, largest, 0), 1e-4, 1e-6));
  kept[3][5] = 40;  // a class too many
  EXPECT_THROW((void)distill::restore_logits(kept, 40), Error);
}

TEST_F(KeptAnswersTest, OfManyClassesTheLikeliest) {
  std::ofstream train(work_ / "train.tsv");
  train << "sentence\tlabel\n";
  for (int i = 0; i < 36; ++i) train << testing::kTinyWords[i % 12] << " cat\t" << i % 12 << "\n";
  train.close();
  std::filesystem::remove_all(work_ / "teacher");
  (void)train::finetune(training("teacher", 3), [](const std::string&) {});
  const double anew = run(R"([{"loss": "kd"}])", KeptAnswers::kNone);
  const double first = run(R"([{"loss": "kd"}])", KeptAnswers::kTop);
  EXPECT_NE(first, anew);
  EXPECT_NEAR(first, anew, 0.02 * anew);
  const fs::path file = fs::directory_iterator(work_ / "cache/teacher")->path();
  EXPECT_EQ(read_safetensors(file).tensors.at(distill::kAnswers).shape, (std::vector<int64_t>{36, 7}));
  EXPECT_EQ(run(R"([{"loss": "kd"}])", KeptAnswers::kTop), first);
  EXPECT_TRUE(told("from an earlier run")) << told_;
  EXPECT_NEAR(run(R"([{"loss": "kd"}])", KeptAnswers::kExact), anew, 1e-5 * anew);
  EXPECT_EQ(files().size(), 2u);
}

TEST_F(KeptAnswersTest, ADamagedFileIsMadeAnew) {
  const double first = run(R"([{"loss": "kd"}])", KeptAnswers::kExact);
  const fs::path file = fs::directory_iterator(work_ / "cache/teacher")->path();
  const auto size = fs::file_size(file);
  fs::resize_file(file, size - 4);
  EXPECT_EQ(run(R"([{"loss": "kd"}])", KeptAnswers::kExact), first);
  EXPECT_TRUE(told("damaged")) << told_;
  EXPECT_EQ(fs::file_size(file), size);
}

}  // namespace
}  // namespace penjing
