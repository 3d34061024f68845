#include "predict/predictor.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace penjing {
namespace {

TEST(OutputKind, EveryKindHasItsName) {
  std::set<std::string> names;
  for (const OutputKind kind :
       {OutputKind::kHidden, OutputKind::kEmbedding, OutputKind::kPooled, OutputKind::kClassLogits,
        OutputKind::kTokenLogits, OutputKind::kMaskedLogits, OutputKind::kSpanLogits}) {
    names.insert(to_string(kind));
  }
  EXPECT_EQ(names.size(), 7u);
  EXPECT_EQ(names.count("?"), 0u);
}

TEST(Prediction, RowsAreSlicesOfTheValues) {
  Prediction prediction;
  prediction.num_rows = 2;
  prediction.dim = 3;
  prediction.values = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(prediction.row(1)[0], 4);
  EXPECT_EQ(prediction.row(1).size(), 3u);
}

}  // namespace
}  // namespace penjing
