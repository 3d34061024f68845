#include "train/chunked_loss.h"

#include <gtest/gtest.h>

#include "tests/train/objective_steps.h"
#include "train/losses.h"

namespace penjing::train {
namespace {

class ChunkedLossTest : public ::testing::Test {
 protected:
  ChunkedLossTest() : folder_("chunked") {
    testing::write_tiny_folder(folder_ / "model", testing::TinyHead::kSentence);
    write_bytes(folder_ / "train.tsv",
                "anchor\tpositive\nthe cat sat\tthe dog ran\na big house\tred house , big\n"
                "on the mat\tin the red house .\nthe dog\ta dog ran in the house\n");
  }
  struct Result {
    double loss = 0;
    std::vector<at::Tensor> gradients;
  };
  Result run(int64_t chunk_tokens, uint64_t step, bool frozen = false) {
    ObjectiveRun run(folder_ / "model", "pairs", folder_ / "train.tsv",
                     Json::object({{"chunk_tokens", chunk_tokens}}), "");
    if (frozen) {
      at::Tensor word = run.network.parameters.at("embeddings.word_embeddings.weight");
      word.set_requires_grad(false);
    }
    Result result{run.backward(run.first(4), true, step), {}};
    for (const auto& entry : run.network.parameters) result.gradients.push_back(entry.tensor.grad());
    return result;
  }
  TestFolder folder_;
};

double relative(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm().clamp_min(1e-6)).item<double>();
}

TEST_F(ChunkedLossTest, ChunkedGradientsAreTheDirectOnes) {
  const Result direct = run(1 << 20, 5);
  for (const int64_t chunk_tokens : {1, 9, 20}) {
    SCOPED_TRACE(chunk_tokens);
    const Result chunked = run(chunk_tokens, 5);
    EXPECT_NEAR(chunked.loss, direct.loss, 1e-5);
    ASSERT_EQ(chunked.gradients.size(), direct.gradients.size());
    int compared = 0;
    double largest = 0;
    for (std::size_t i = 0; i < direct.gradients.size(); ++i) {
      ASSERT_EQ(chunked.gradients[i].defined(), direct.gradients[i].defined()) << i;
      if (!direct.gradients[i].defined()) continue;
      // Attention's key biases have a gradient that is zero in exact arithmetic.
      if (direct.gradients[i].norm().item<double>() < 1e-5) continue;
      largest = std::max(largest, relative(chunked.gradients[i], direct.gradients[i]));
      ++compared;
    }
    EXPECT_LT(largest, 2e-5);
    EXPECT_GT(compared, 25);
  }
}

TEST_F(ChunkedLossTest, DropoutIsDrawnAnewEveryStepAndTheSameInBothForms) {
  const Result one = run(9, 5), other = run(9, 6);
  EXPECT_GT(std::abs(one.loss - other.loss), 1e-4);
  EXPECT_NEAR(run(1 << 20, 6).loss, other.loss, 1e-5);
}

TEST_F(ChunkedLossTest, FrozenParametersGetNoGradient) {
  const Result chunked = run(9, 5, true);
  EXPECT_FALSE(chunked.gradients[0].defined());
  EXPECT_TRUE(chunked.gradients[5].defined());
}

}  // namespace
}  // namespace penjing::train
