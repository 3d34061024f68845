// MobileBERT's hidden states and logits against transformers' in double precision
// (tests/data/mobilebert_reference.json).
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/engine.h"
#include "tests/model/mobilebert_reference.h"

namespace penjing {
namespace {

using testing::kMobileBertShapes;
using testing::mobilebert_batch;

std::unique_ptr<Predictor> new_session(Model model) {
  complete_model(model);
  return Engine::build(model)->new_session(std::make_shared<ThreadPool>(1));
}

void expect_row(std::span<const float> got, const Json& wanted, const std::string& what) {
  const auto& row = wanted.as_array("row");
  ASSERT_EQ(row.size(), got.size()) << what;
  for (std::size_t i = 0; i < row.size(); ++i)
    EXPECT_NEAR(got[i], row[i].as_double("value"), 3e-6) << what << " " << i;
}

// All sequences in one batch: what is before and after a sequence does not reach its trigrams.
TEST(MobileBert, HiddenStatesAreThoseOfTransformers) {
  for (const std::string shape : kMobileBertShapes) {
    const RaggedBatch batch = mobilebert_batch();
    const Prediction got =
        new_session(testing::tiny_mobilebert(shape))->predict(batch, {.kind = OutputKind::kHidden});
    std::size_t compared = 0;
    for (const auto& [index, kept] :
         testing::mobilebert_reference().shape(shape).find("hidden")->as_object("hidden")) {
      const auto& tokens = kept.find("tokens")->as_array("tokens");
      for (std::size_t i = 0; i < tokens.size(); ++i, ++compared) {
        const int64_t token = batch.offsets[std::stoul(index)] + tokens[i].as_int("token");
        expect_row(got.row(token), kept.find("rows")->as_array("rows")[i], shape + " " + index);
      }
    }
    EXPECT_EQ(compared, 9u);
  }
}

TEST(MobileBert, LogitsAreThoseOfTransformers) {
  for (const std::string shape : kMobileBertShapes) {
    const auto words = new_session(testing::tiny_mobilebert(shape));
    const Json& wanted = *testing::mobilebert_reference().shape(shape).find("masked_logits");
    const Prediction got = words->predict(mobilebert_batch(1), {.kind = OutputKind::kMaskedLogits});
    expect_row(got.row(wanted.find("token")->as_int("token")), *wanted.find("row"), shape + " words");
    const auto classes = new_session(testing::tiny_mobilebert(shape, true));
    const Prediction logits = classes->predict(mobilebert_batch(), {.kind = OutputKind::kClassLogits});
    const auto& rows = testing::mobilebert_reference().shape(shape).find("classes")->as_array("classes");
    ASSERT_EQ(logits.num_rows, static_cast<int64_t>(rows.size()));
    for (std::size_t i = 0; i < rows.size(); ++i)
      expect_row(logits.row(static_cast<int64_t>(i)), rows[i], shape + " classes");
  }
}

// A decoder stored apart from the word embeddings counts instead of them.
TEST(MobileBert, AnUntiedDecoderCounts) {
  Model model = testing::tiny_mobilebert("student");
  const Request request{.kind = OutputKind::kMaskedLogits};
  const Prediction tied = new_session(model)->predict(mobilebert_batch(1), request);
  const Tensor words = model.tensors.at("mobilebert.embeddings.word_embeddings.weight");
  model.tensors.set("cls.predictions.decoder.weight", words);
  EXPECT_EQ(new_session(model)->predict(mobilebert_batch(1), request).values, tied.values);
  std::vector<float> values = read_floats(words, "words");
  for (float& value : values) value = -value;
  model.tensors.set("cls.predictions.decoder.weight", Tensor::from_floats(words.shape, values));
  EXPECT_NE(new_session(model)->predict(mobilebert_batch(1), request).values, tied.values);
}

// The pooler without activation gives the first token's hidden state.
TEST(MobileBert, APoolerWithoutWeights) {
  Model model = testing::tiny_mobilebert("student", true);
  const auto session = new_session(model);
  const RaggedBatch batch = mobilebert_batch();
  const Prediction pooled = session->predict(batch, {.kind = OutputKind::kPooled});
  const Prediction hidden = session->predict(batch, {.kind = OutputKind::kHidden});
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    const auto a = pooled.row(i), b = hidden.row(batch.offsets[static_cast<std::size_t>(i)]);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  }
}

}  // namespace
}  // namespace penjing
