#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>

#include "runtime/engine.h"
#include "tests/model/family_reference.h"

namespace penjing::testing {

inline std::unique_ptr<Predictor> new_family_session(Model model) {
  complete_model(model);
  return Engine::build(model)->new_session(std::make_shared<ThreadPool>(1));
}

inline void expect_row(std::span<const float> got, const Json& wanted, const std::string& what) {
  const auto& row = wanted.as_array("row");
  ASSERT_EQ(row.size(), got.size()) << what;
  for (std::size_t i = 0; i < row.size(); ++i)
    EXPECT_NEAR(got[i], row[i].as_double("value"), 3e-6) << what << " " << i;
}

// All sequences in one batch: what is before and after a sequence does not reach it.
inline void expect_hidden_states(const FamilyReference& reference) {
  for (const std::string& shape : reference.shapes()) {
    const RaggedBatch batch = reference.batch();
    const Prediction got =
        new_family_session(reference.model(shape))->predict(batch, {.kind = OutputKind::kHidden});
    std::size_t compared = 0;
    for (const auto& [index, kept] : reference.shape(shape).find("hidden")->as_object("hidden")) {
      const auto& tokens = kept.find("tokens")->as_array("tokens");
      for (std::size_t i = 0; i < tokens.size(); ++i, ++compared) {
        const int64_t token = batch.offsets[std::stoul(index)] + tokens[i].as_int("token");
        expect_row(got.row(token), kept.find("rows")->as_array("rows")[i], shape + " " + index);
      }
    }
    EXPECT_EQ(compared, 9u);
  }
}

inline void expect_logits(const FamilyReference& reference) {
  for (const std::string& shape : reference.shapes()) {
    const auto words = new_family_session(reference.model(shape));
    const Json& wanted = *reference.shape(shape).find("masked_logits");
    const Prediction got = words->predict(reference.batch(1), {.kind = OutputKind::kMaskedLogits});
    expect_row(got.row(wanted.find("token")->as_int("token")), *wanted.find("row"), shape + " words");
    const auto classes = new_family_session(reference.model(shape, true));
    const Prediction logits = classes->predict(reference.batch(), {.kind = OutputKind::kClassLogits});
    const auto& rows = reference.shape(shape).find("classes")->as_array("classes");
    ASSERT_EQ(logits.num_rows, static_cast<int64_t>(rows.size()));
    for (std::size_t i = 0; i < rows.size(); ++i)
      expect_row(logits.row(static_cast<int64_t>(i)), rows[i], shape + " classes");
  }
}

}  // namespace penjing::testing
