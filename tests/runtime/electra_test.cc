// ELECTRA's hidden states and logits against transformers' in double precision
// (tests/data/electra_reference.json).
#include <gtest/gtest.h>

#include "runtime/engine.h"
#include "tests/model/family_reference.h"

namespace penjing {
namespace {

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

TEST(Electra, HiddenStatesAndLogitsAreThoseOfTransformers) {
  const testing::FamilyReference reference("electra");
  for (const std::string& shape : reference.shapes()) {
    const RaggedBatch batch = reference.batch();
    const auto words = new_session(reference.model(shape));
    const Prediction hidden = words->predict(batch, {.kind = OutputKind::kHidden});
    std::size_t compared = 0;
    for (const auto& [index, kept] : reference.shape(shape).find("hidden")->as_object("hidden")) {
      const auto& tokens = kept.find("tokens")->as_array("tokens");
      for (std::size_t i = 0; i < tokens.size(); ++i, ++compared) {
        const int64_t token = batch.offsets[std::stoul(index)] + tokens[i].as_int("token");
        expect_row(hidden.row(token), kept.find("rows")->as_array("rows")[i], shape + " " + index);
      }
    }
    EXPECT_EQ(compared, 9u);
    const Json& wanted = *reference.shape(shape).find("masked_logits");
    const Prediction guesses = words->predict(reference.batch(1), {.kind = OutputKind::kMaskedLogits});
    expect_row(guesses.row(wanted.find("token")->as_int("token")), *wanted.find("row"), shape + " words");
    const Prediction classes =
        new_session(reference.model(shape, true))->predict(batch, {.kind = OutputKind::kClassLogits});
    const auto& rows = reference.shape(shape).find("classes")->as_array("classes");
    ASSERT_EQ(classes.num_rows, static_cast<int64_t>(rows.size()));
    for (std::size_t i = 0; i < rows.size(); ++i)
      expect_row(classes.row(static_cast<int64_t>(i)), rows[i], shape + " classes");
  }
}

}  // namespace
}  // namespace penjing
