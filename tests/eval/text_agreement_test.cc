#include "eval/text_agreement.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace penjing {
namespace {

TEST(TextAgreement, ByWhatTheModelGives) {
  const std::vector<std::string> texts = {"a", "b"};
  TaskModel model;
  EXPECT_EQ(compare_outputs(outputs_on_texts(model, texts), outputs_on_texts(model, texts)).rows, 0);
  model.fill_masks = [](const std::vector<std::string>&, int64_t) {
    return std::vector<std::vector<MaskedPiece>>{{{-1, 5, 5}, {-1, 6, 7}}, {{-1, 8, 8}, {-1, 8, 9}}};
  };
  const TextOutputs masked = outputs_on_texts(model, texts);
  TextOutputs other = masked;
  other.pieces[1] = 6;
  EXPECT_EQ(compare_outputs(masked, other).top1, 0.75);
  EXPECT_FALSE(compare_outputs(masked, other).cosine_mean.has_value());
  model.embed = [](const std::vector<std::string>&) { return TaskModel::Rows{{1, 0}, {0, 2}}; };
  const TextOutputs embedded = outputs_on_texts(model, texts);
  other = embedded;
  other.rows[1] = {2, 2};
  const TextAgreement agreement = compare_outputs(embedded, other);
  EXPECT_EQ(agreement.rows, 2);
  EXPECT_NEAR(*agreement.cosine_min, std::sqrt(0.5), 1e-7);
  EXPECT_FALSE(agreement.top1.has_value());
  EXPECT_THROW((void)compare_outputs(embedded, masked), Error);
  model.classify = [](const std::vector<std::string>&, const std::vector<std::string>&) {
    return TaskModel::Rows{{1, 0}, {0, 2}};
  };
  const TextOutputs classes = outputs_on_texts(model, texts);
  other = classes;
  other.rows[1] = {3, 2};
  EXPECT_EQ(compare_outputs(classes, other).top1, 0.5);
}

}  // namespace
}  // namespace penjing
