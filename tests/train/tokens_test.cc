#include <gtest/gtest.h>

#include "tests/train/objective_steps.h"

namespace penjing::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTrain =
    "the O\ncatz B-animal\nsat O\n\n"
    "a O\nbig B-animal\ndog I-animal\nran O\nin O\nthe O\nred B-place\nhouse I-place\n. O\n\n"
    "the O\nhouse B-place\n\n"
    "a O\ndog B-animal\non O\nthe O\nmat B-place\n";

class TokensTest : public ::testing::Test {
 protected:
  TokensTest() : folder_("tokens") {
    testing::write_tiny_folder(folder_ / "model", testing::TinyHead::kSentence);
    write_bytes(folder_ / "data/train.conll", kTrain);
    write_bytes(folder_ / "data/dev.conll", std::string(kTrain) + "\nred B-colour\n");
  }
  ObjectiveRun make(const Json& params = Json::object(), int64_t max_length = 48) {
    return ObjectiveRun(folder_ / "model", "tokens", folder_ / "data", params, "dev", 0, max_length);
  }
  TestFolder folder_;
};

TEST_F(TokensTest, TheFirstPieceOfEachWordIsLabelled) {
  ObjectiveRun run = make();
  const std::vector<std::string> classes = {"O", "B-animal", "B-colour", "B-place", "I-animal", "I-place"};
  EXPECT_EQ(run.model.id2label, classes);
  ASSERT_EQ(run.objective->num_examples(), 4);
  // [CLS] the cat ##z sat [SEP]
  const Sequence& sequence = run.objective->sequences(0)[0];
  ASSERT_EQ(sequence.ids.size(), 6u);
  EXPECT_EQ(run.tokenizer->token(sequence.ids[3]), "##z");
  EXPECT_EQ(run.objective->weight(0), 3);
  EXPECT_EQ(run.objective->weight(1), 9);
  // Against the logits of all tokens.
  RaggedBatch ragged;
  ragged.append(sequence.ids);
  const PackedBatch batch = pack(ragged, {0});
  const at::NoGradGuard no_gradient;
  const ForwardContext context = run.context();
  const at::Tensor logits =
      run_head(run.model.description, run.network.parameters, HeadKind::kTokenClassifier,
               run.network.encoder->forward(batch, context), batch, {}, context);
  const at::Tensor p = at::log_softmax(logits.to(at::kDouble), 1);
  const double wanted = -(p[1][0] + p[2][1] + p[4][0]).item<double>();
  EXPECT_NEAR(run.objective->loss(run.network, context, run.first(1), 0).sum.item<double>(), wanted, 1e-5);
}

TEST_F(TokensTest, LossesOfMicroBatchesAddUp) {
  ObjectiveRun run = make(Json::object({{"class_weights", "balanced"}, {"label_smoothing", 0.1}}));
  const ForwardContext context = run.context(true, 3);
  const at::NoGradGuard no_gradient;
  double sum = 0;
  for (const int64_t i : run.first(4)) {
    const std::vector<int64_t> one = {i};
    sum += run.objective->loss(run.network, context, one, 0).sum.item<double>();
  }
  EXPECT_NEAR(run.objective->loss(run.network, context, run.first(4), 0).sum.item<double>(), sum, 1e-4);
  // 19 words: 11 O, 3 B-animal, no B-colour, 3 B-place, I-animal, I-place.
  EXPECT_NEAR(run.objective->weight(2), 19.0 / (6 * 11) + 19.0 / (6 * 3), 1e-5);
}

TEST_F(TokensTest, WordsBeyondTheLengthAreNotLabelled) {
  ObjectiveRun run = make(Json::object(), 6);
  EXPECT_EQ(run.objective->weight(1), 4);
  EXPECT_NE(run.objective->summary().find("2 cut at 6"), std::string::npos) << run.objective->summary();
}

TEST_F(TokensTest, LearnsTheTagsAndScoresSpans) {
  ObjectiveRun run = make();
  EXPECT_NE(run.objective->summary().find("4 sentences, 19 labelled words"), std::string::npos)
      << run.objective->summary();
  const double before = run.main_score();
  const auto losses = run.descend(run.first(4), 60, 0.3);
  EXPECT_LT(losses.back(), 0.1 * losses.front());
  const auto scores = run.scores();
  EXPECT_EQ(scores[0].first, "overall_f1");
  // Six spans of train are found; B-colour was never seen.
  EXPECT_GT(scores[0].second, std::max(before, 0.85));
  EXPECT_LT(scores[2].second, 1);
}

TEST_F(TokensTest, RefusesWhatItDoesNotKnow) {
  const std::string error = error_of([&] { make(Json::object({{"smoothing", 0.1}})); });
  EXPECT_NE(error.find("no parameter \"smoothing\""), std::string::npos) << error;
  EXPECT_NE(error.find("label_smoothing"), std::string::npos) << error;
  write_bytes(folder_ / "flat/train.conll", "a O\ncat O\n");
  write_bytes(folder_ / "flat/dev.conll", "a O\n");
  EXPECT_NE(error_of([&] { ObjectiveRun(folder_ / "model", "tokens", folder_ / "flat"); }).find("every tag"),
            std::string::npos);
}

TEST(TokensOnRealData, AFewStepsLowerTheLoss) {
  if (minilm_folder().empty() || !fs::exists(shared_data() / "wnut17")) GTEST_SKIP() << "no MiniLM or wnut17";
  TestFolder folder("wnut");
  fs::copy_file(shared_data() / "wnut17/wnut17train.conll", folder / "train.conll");
  fs::copy_file(shared_data() / "wnut17/emerging.dev.conll", folder / "dev.conll");
  ObjectiveRun run(minilm_folder(), "tokens", folder.path(), Json::object(), "dev", 64, 64);
  EXPECT_EQ(run.model.id2label.size(), 13u);
  const auto losses = run.descend(run.first(16), 6, 0.5);
  EXPECT_LT(losses.back(), 0.7 * losses.front()) << losses.front() << " " << losses.back();
  const auto scores = run.scores();
  EXPECT_EQ(scores[3].first, "overall_accuracy");
  EXPECT_GT(scores[3].second, 0.5);
}

}  // namespace
}  // namespace penjing::train
