// Texts out of nothing: what a masked language model is asked, what is drawn of its answers, what a teacher
// lets through.
#include "augment/generate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "base/parse.h"
#include "tests/augment/small_words.h"

namespace penjing::augment {
namespace {

// Logits of its own; they lean on the piece before the masked one, so that what stands there matters.
class LeaningMaskedLm final : public Predictor {
 public:
  LeaningMaskedLm(int64_t vocab, int32_t mask) : vocab_(vocab), mask_(mask) {}
  bool supports(OutputKind kind) const override { return kind == OutputKind::kMaskedLogits; }
  int64_t vocab_size() const override { return vocab_; }
  int64_t max_length() const override { return 32; }
  static float logit(int32_t before, int32_t piece) {
    return static_cast<float>((before * 7 + piece * 5) % 11) * 0.4f;
  }
  Prediction predict(const RaggedBatch& batch, const Request& request) override {
    Prediction prediction;
    prediction.dim = vocab_;
    prediction.num_rows = static_cast<int64_t>(request.positions.size());
    for (const int64_t position : request.positions) {
      EXPECT_EQ(batch.ids[position], mask_);
      for (int32_t piece = 0; piece < vocab_; ++piece)
        prediction.values.push_back(logit(batch.ids[position - 1], piece));
    }
    for (int64_t i = 0; i < batch.num_sequences(); ++i)
      asked.emplace_back(batch.ids.begin() + batch.offsets[i], batch.ids.begin() + batch.offsets[i + 1]);
    return prediction;
  }
  std::vector<std::vector<int32_t>> asked;

 private:
  int64_t vocab_;
  int32_t mask_;
};

class Generate : public ::testing::Test {
 protected:
  Speaker speaker(SpeakerSettings settings, int threads = 1) {
    pool_ = std::make_unique<ThreadPool>(threads);
    return {*words_.tokenizer, model_, *pool_, settings};
  }
  std::string refusal(SpeakerSettings settings) {
    try {
      (void)speaker(settings);
    } catch (const Error& error) {
      return error.what();
    }
    return "taken";
  }
  SmallWords words_;
  LeaningMaskedLm model_{19, words_.id("[MASK]")};
  std::unique_ptr<ThreadPool> pool_;
};

// Of one place behind [CLS]: shares are softmax(logits / T) over the likeliest of what may begin a text.
TEST_F(Generate, DrawsFromTheModelsDistribution) {
  constexpr double kTemperature = 0.7;
  constexpr std::size_t kTop = 6;
  constexpr int64_t kTexts = 6000;
  std::vector<std::pair<float, std::string>> best;
  for (int32_t piece = 0; piece < 19; ++piece) {
    const std::string token(words_.tokenizer->token(piece));
    if (token.starts_with("[") || token.starts_with("##")) continue;
    best.emplace_back(-LeaningMaskedLm::logit(words_.id("[CLS]"), piece), token);
  }
  std::stable_sort(best.begin(), best.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  best.resize(kTop);
  double sum = 0;
  for (const auto& [negative, token] : best) sum += std::exp(-negative / kTemperature);
  Speaker one = speaker({1, 1, 0, 1, 0, kTemperature, kTop, 5});
  std::map<std::string, int64_t> seen;
  for (const std::string& text : one.speak(0, kTexts)) ++seen[text];
  EXPECT_EQ(seen.size(), kTop);
  for (const auto& [negative, token] : best) {
    const double p = std::exp(-negative / kTemperature) / sum;
    EXPECT_NEAR(static_cast<double>(seen[token]) / kTexts, p, 5 * std::sqrt(p * (1 - p) / kTexts)) << token;
  }
}

TEST_F(Generate, FillsInTurnAndThenOnceMore) {
  Speaker one = speaker({4, 4, 1, 1, 1, 1, 100, 3});
  const std::string text = one.speak(11, 1)[0];
  ASSERT_EQ(model_.asked.size(), 6u);  // three places and a seed; each twice
  const auto masks = [&](std::size_t i) {
    return std::count(model_.asked[i].begin(), model_.asked[i].end(), words_.id("[MASK]"));
  };
  EXPECT_EQ(masks(0), 3);
  EXPECT_EQ(masks(1), 2);
  for (std::size_t i = 2; i < 6; ++i) EXPECT_EQ(masks(i), 1);
  // The seed stands from the first to the last: the place that was never masked.
  std::size_t seeds = 0;
  for (std::size_t place = 1; place < 5; ++place) {
    const auto has_mask = [&](const auto& ids) { return ids[place] == words_.id("[MASK]"); };
    if (std::any_of(model_.asked.begin(), model_.asked.end(), has_mask)) continue;
    ++seeds;
    const int32_t seed = model_.asked[0][place];
    EXPECT_NE(text.find(words_.tokenizer->token(seed)), std::string::npos);
  }
  EXPECT_EQ(seeds, 1u);
  model_.asked.clear();
  Speaker three = speaker({4, 4, 1, 3, 0, 1, 100, 3});
  (void)three.speak(11, 1);
  EXPECT_EQ(model_.asked.size(), 1u);
}

TEST_F(Generate, ATextIsAFunctionOfItsNumber) {
  const SpeakerSettings settings{2, 9, 1, 2, 1, 1, 5, 8};
  Speaker all = speaker(settings);
  const std::vector<std::string> texts = all.speak(0, 40);
  std::set<std::string> different(texts.begin(), texts.end());
  EXPECT_GT(different.size(), 30u);
  Speaker other = speaker(settings, 3);
  EXPECT_EQ(other.speak(20, 20), (std::vector<std::string>(texts.begin() + 20, texts.end())));
  EXPECT_EQ(other.speak(7, 1)[0], texts[7]);
  SpeakerSettings seeded = settings;
  seeded.seed = 9;
  EXPECT_NE(speaker(seeded).speak(0, 40), texts);
  for (const std::string& text : texts) {
    EXPECT_EQ(text.find('['), std::string::npos) << text;
    EXPECT_FALSE(text.starts_with("##")) << text;
  }
}

// A judge that knows one word of each class, and is in doubt about the rest.
std::vector<std::vector<float>> judge(const std::vector<std::string>& texts) {
  std::vector<std::vector<float>> logits;
  for (const std::string& text : texts) {
    const auto has = [&](const char* word) { return text.find(word) != std::string::npos ? 5.0f : 0.0f; };
    logits.push_back({has("good"), has("bad"), has("cat")});
  }
  return logits;
}

TEST_F(Generate, TheTeacherTakesWhatItIsSureOfAsManyOfEachClass) {
  const SpeakerSettings settings{2, 6, 1, 1, 0, 1, 100, 2};
  Speaker one = speaker(settings);
  std::vector<std::pair<std::string, int64_t>> kept;
  const GenerateCounts counts =
      generate(one, judge, 3, {20, 0.9, true, 5000},
               [&](const std::string& text, int64_t label) { kept.emplace_back(text, label); });
  EXPECT_EQ(counts.kept, (std::vector<int64_t>{7, 7, 6}));
  EXPECT_EQ(counts.num_kept(), 20);
  EXPECT_EQ(counts.tried, counts.num_kept() + counts.unsure + counts.surplus + counts.repeated);
  EXPECT_GT(counts.unsure, 0);
  EXPECT_GT(counts.surplus, 0);
  // The same by hand over the texts in their order.
  std::vector<int64_t> room = {7, 7, 6};
  std::set<std::string> known;
  std::size_t at = 0;
  for (const std::string& text : speaker(settings).speak(0, counts.tried)) {
    const std::vector<float> logits = judge({text})[0];
    const auto label = std::max_element(logits.begin(), logits.end()) - logits.begin();
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit);
    if (std::exp(logits[label]) / sum < 0.9 || room[label] == 0 || !known.insert(text).second) continue;
    --room[label];
    ASSERT_LT(at, kept.size());
    EXPECT_EQ(kept[at], std::pair(text, static_cast<int64_t>(label)));
    ++at;
  }
  EXPECT_EQ(at, kept.size());
}

TEST_F(Generate, EndsWhenItMayTryNoMore) {
  Speaker one = speaker({1, 1, 0, 1, 0, 1, 100, 2});  // a vocabulary's worth of texts and no more
  const GenerateCounts counts =
      generate(one, judge, 3, {50, 0.9, false, 600}, [](const std::string&, int64_t) {});
  EXPECT_EQ(counts.tried, 600);
  EXPECT_EQ(counts.num_kept(), 3);  // good, bad, cat
  EXPECT_GT(counts.repeated, 0);
  EXPECT_EQ(counts.surplus, 0);
}

TEST_F(Generate, WhatTheModelCannotDoIsRefused) {
  EXPECT_NE(refusal({1, 31, 1, 1, 0, 1, 5, 1}).find("wanted 1 to 30"), std::string::npos);
  EXPECT_NE(refusal({5, 4, 1, 1, 0, 1, 5, 1}).find("texts of 5 to 4"), std::string::npos);
  EXPECT_EQ(refusal({1, 30, 1, 1, 0, 1, 5, 1}), "taken");
}

}  // namespace
}  // namespace penjing::augment
