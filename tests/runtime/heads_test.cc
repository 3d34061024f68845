#include "runtime/heads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "runtime/engine.h"
#include "tests/runtime/reference_forward.h"
#include "tests/runtime/tiny_models.h"

namespace penjing {
namespace {

using testing::IntegerProducts;
using testing::Matrix;

// A chain of the reference on rows of the encoder: dense, activation, LayerNorm, logits.
Matrix reference_head(const Model& model, const HeadSpec& spec, Matrix x) {
  if (spec.has_dense) {
    x = reference_linear(model, spec.dense, x, IntegerProducts::kExact);
    for (auto& row : x) {
      for (double& value : row) value = testing::reference_activation(spec.activation, value);
    }
  }
  if (spec.has_norm) {
    const std::vector<float> gamma = read_floats(model.tensors.at(spec.norm.name + ".weight"), "norm");
    const std::vector<float> beta = read_floats(model.tensors.at(spec.norm.name + ".bias"), "norm");
    for (auto& row : x) {
      double mean = 0, square = 0;
      for (const double value : row) mean += value / static_cast<double>(row.size());
      for (const double value : row)
        square += (value - mean) * (value - mean) / static_cast<double>(row.size());
      for (std::size_t i = 0; i < row.size(); ++i) {
        row[i] = (row[i] - mean) / std::sqrt(square + spec.norm.epsilon) * gamma[i] + beta[i];
      }
    }
  }
  if (!spec.has_projection) return x;
  if (!spec.tied_to_word_embeddings)
    return reference_linear(model, spec.projection, x, IntegerProducts::kExact);
  const std::vector<float> words =
      read_floats(model.tensors.at(model.description.embedding.word + ".weight"), "words");
  const std::vector<float> bias = read_floats(model.tensors.at(spec.projection_bias), "bias");
  Matrix y(x.size(), std::vector<double>(bias.begin(), bias.end()));
  for (std::size_t t = 0; t < x.size(); ++t) {
    for (std::size_t n = 0; n < bias.size(); ++n) {
      for (std::size_t k = 0; k < x[t].size(); ++k) y[t][n] += x[t][k] * words[n * x[t].size() + k];
    }
  }
  return y;
}

void expect_near(const Prediction& got, const Matrix& want) {
  ASSERT_EQ(got.num_rows, static_cast<int64_t>(want.size()));
  for (int64_t i = 0; i < got.num_rows; ++i) {
    ASSERT_EQ(got.row(i).size(), want[i].size());
    for (std::size_t f = 0; f < want[i].size(); ++f)
      ASSERT_NEAR(got.row(i)[f], want[i][f], 5e-5) << i << " " << f;
  }
}

class Heads : public ::testing::Test {
 protected:
  Heads() {
    Rng rng(21);
    batch_ = testing::random_batch(rng, 6, 80, 97);
    for (int64_t i = 0; i < batch_.num_sequences(); ++i) {
      const std::vector<int32_t> ids(batch_.ids.begin() + batch_.offsets[i],
                                     batch_.ids.begin() + batch_.offsets[i + 1]);
      const Matrix rows = reference_hidden(model_, ids, {}, IntegerProducts::kExact);
      first_.push_back(rows[0]);
      all_.insert(all_.end(), rows.begin(), rows.end());
    }
  }
  Prediction run(const Request& request) const { return run(model_, request); }
  Prediction run(const Model& model, const Request& request) const {
    return Engine::build(model)->new_session(std::make_shared<ThreadPool>(2))->predict(batch_, request);
  }
  const HeadSpec& spec(HeadKind kind) const { return *model_.description.find_head(kind); }

  const Model model_ = testing::make_bert_like(21);
  RaggedBatch batch_;
  Matrix first_, all_;
};

TEST_F(Heads, RowsASequence) {
  expect_near(run({.kind = OutputKind::kPooled}), reference_head(model_, spec(HeadKind::kPooler), first_));
  expect_near(run({.kind = OutputKind::kClassLogits}),
              reference_head(model_, spec(HeadKind::kSequenceClassifier), first_));
}

TEST_F(Heads, RowsAToken) {
  expect_near(run({.kind = OutputKind::kTokenLogits}),
              reference_head(model_, spec(HeadKind::kTokenClassifier), all_));
  expect_near(run({.kind = OutputKind::kSpanLogits}),
              reference_head(model_, spec(HeadKind::kQuestionAnswering), all_));
}

TEST_F(Heads, MaskedWords) {
  expect_near(run({.kind = OutputKind::kMaskedLogits}),
              reference_head(model_, spec(HeadKind::kMaskedLm), all_));
  const std::vector<int64_t> positions{0, 3, batch_.offsets[3] + 1, batch_.num_tokens() - 1};
  Matrix picked;
  for (const int64_t position : positions) picked.push_back(all_[position]);
  const Prediction got = run({.kind = OutputKind::kMaskedLogits, .positions = positions});
  expect_near(got, reference_head(model_, spec(HeadKind::kMaskedLm), picked));
  EXPECT_EQ(got.row_offsets.back(), 4);
  EXPECT_EQ(got.row_offsets.front(), 0);
}

// Many rows go through a head in slices; three slices of the same tokens must be the same rows.
TEST_F(Heads, SlicesAreInvisible) {
  LinearPacker packer;
  const Head head = *plan_head(model_, OutputKind::kMaskedLogits, packer);
  EXPECT_GT(head.slice_rows, 0);
  RaggedBatch many;
  const std::vector<int32_t> ids(150, 7);
  while (many.num_tokens() <= 2 * head.slice_rows) many.append(ids);
  if (many.num_tokens() > 200000)
    GTEST_SKIP() << "slices of " << head.slice_rows << " rows are too long here";
  const Prediction got = Engine::build(model_)
                             ->new_session(std::make_shared<ThreadPool>(2), int64_t{1} << 40)
                             ->predict(many, {.kind = OutputKind::kMaskedLogits});
  const std::size_t size = static_cast<std::size_t>(150 * got.dim);
  for (std::size_t i = size; i < got.values.size(); i += size) {
    ASSERT_TRUE(std::equal(got.values.begin(), got.values.begin() + size, got.values.begin() + i));
  }
}

TEST_F(Heads, EveryPooling) {
  Model model = model_;
  SentenceModule pooling;
  pooling.pooling.modes = {PoolingMode::kCls,         PoolingMode::kMax,          PoolingMode::kMean,
                           PoolingMode::kMeanSqrtLen, PoolingMode::kWeightedMean, PoolingMode::kLastToken};
  for (const bool include_prompt : {true, false}) {
    pooling.pooling.include_prompt = include_prompt;
    model.sentence.modules = {pooling};
    std::vector<int64_t> prompts;
    Matrix want;
    for (int64_t i = 0; i < batch_.num_sequences(); ++i) {
      const int64_t length = batch_.length(i);
      prompts.push_back(std::min<int64_t>(i, length - 1));
      const int64_t skip = include_prompt ? 0 : prompts.back();
      std::vector<double> row;
      const auto token = [&](int64_t t, std::size_t f) { return all_[batch_.offsets[i] + t][f]; };
      for (int mode = 0; mode < 6; ++mode) {
        for (std::size_t f = 0; f < 32; ++f) {
          double sum = 0, weighted = 0, weights = 0, highest = -1e300;
          for (int64_t t = skip; t < length; ++t) {
            sum += token(t, f);
            weighted += static_cast<double>(t + 1) * token(t, f);
            weights += static_cast<double>(t + 1);
            highest = std::max(highest, token(t, f));
          }
          const double n = static_cast<double>(length - skip);
          const double pooled[] = {
              token(0, f), highest, sum / n, sum / std::sqrt(n), weighted / weights, token(length - 1, f)};
          row.push_back(pooled[mode]);
        }
      }
      want.push_back(row);
    }
    expect_near(run(model, {.kind = OutputKind::kEmbedding, .prompt_lengths = prompts}), want);
  }
}

TEST_F(Heads, DenseAndNormalizeAfterThePooling) {
  Matrix pooled;
  for (int64_t i = 0; i < batch_.num_sequences(); ++i) {
    std::vector<double> mean(32, 0.0);
    for (int64_t t = batch_.offsets[i]; t < batch_.offsets[i + 1]; ++t) {
      for (std::size_t f = 0; f < 32; ++f) mean[f] += all_[t][f] / static_cast<double>(batch_.length(i));
    }
    pooled.push_back(mean);
  }
  Matrix want = reference_linear(model_, model_.sentence.modules[1].dense, pooled, IntegerProducts::kExact);
  for (auto& row : want) {
    double square = 0;
    for (double& value : row) value = std::tanh(value), square += value * value;
    for (double& value : row) value /= std::sqrt(square);
  }
  expect_near(run({.kind = OutputKind::kEmbedding}), want);
}

TEST_F(Heads, UnusualModuleListsAreRefused) {
  Model model = model_;
  std::swap(model.sentence.modules[0], model.sentence.modules[2]);
  EXPECT_THROW(Engine::build(model), Error);
  model.sentence.modules = {model_.sentence.modules[0], model_.sentence.modules[0]};
  EXPECT_THROW(Engine::build(model), Error);
}

}  // namespace
}  // namespace penjing
