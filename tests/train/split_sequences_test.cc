#include "train/split_sequences.h"

#include <gtest/gtest.h>

namespace penjing {
namespace {

// Views of the rows, and one gradient that has each sequence's own.
TEST(SplitSequences, GivesViewsAndPutsGradientsTogether) {
  const std::vector<int64_t> offsets = {0, 3, 4, 9};
  at::Tensor rows = at::arange(18, at::kDouble).view({9, 2}).requires_grad_();
  const std::vector<at::Tensor> parts = train::split_sequences(rows, offsets);
  ASSERT_EQ(parts.size(), 3u);
  at::Tensor sum = at::zeros({}, at::kDouble);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    EXPECT_EQ(parts[i].size(0), offsets[i + 1] - offsets[i]);
    EXPECT_EQ(parts[i].data_ptr<double>(), rows.data_ptr<double>() + 2 * offsets[i]);
    if (i != 1) sum = sum + (static_cast<double>(i) + 1) * (parts[i] * parts[i]).sum();
  }
  sum.backward();
  at::Tensor expected = 2 * rows.detach();
  expected.narrow(0, 3, 1).zero_();  // nobody reads it
  expected.narrow(0, 4, 5) *= 3;
  EXPECT_TRUE(rows.grad().equal(expected)) << rows.grad();
}

}  // namespace
}  // namespace penjing
