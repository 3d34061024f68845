// MobileBERT's hidden states and logits against transformers' in double precision
// (tests/data/mobilebert_reference.json).
#include "tests/model/mobilebert_reference.h"
#include "tests/runtime/family_outputs.h"

namespace penjing {
namespace {

using testing::mobilebert_batch;
using testing::new_family_session;

TEST(MobileBert, HiddenStatesAreThoseOfTransformers) {
  testing::expect_hidden_states(testing::mobilebert_reference());
}

TEST(MobileBert, LogitsAreThoseOfTransformers) {
  testing::expect_logits(testing::mobilebert_reference());
}

// A decoder stored apart from the word embeddings counts instead of them.
TEST(MobileBert, AnUntiedDecoderCounts) {
  Model model = testing::tiny_mobilebert("student");
  const Request request{.kind = OutputKind::kMaskedLogits};
  const Prediction tied = new_family_session(model)->predict(mobilebert_batch(1), request);
  const Tensor words = model.tensors.at("mobilebert.embeddings.word_embeddings.weight");
  model.tensors.set("cls.predictions.decoder.weight", words);
  EXPECT_EQ(new_family_session(model)->predict(mobilebert_batch(1), request).values, tied.values);
  std::vector<float> values = read_floats(words, "words");
  for (float& value : values) value = -value;
  model.tensors.set("cls.predictions.decoder.weight", Tensor::from_floats(words.shape, values));
  EXPECT_NE(new_family_session(model)->predict(mobilebert_batch(1), request).values, tied.values);
}

// The pooler without activation gives the first token's hidden state.
TEST(MobileBert, APoolerWithoutWeights) {
  Model model = testing::tiny_mobilebert("student", true);
  const auto session = new_family_session(model);
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
