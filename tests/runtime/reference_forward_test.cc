#include "tests/runtime/reference_forward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "model/linear.h"
#include "model/relative_positions.h"
#include "numerics/quantizer.h"

namespace penjing::testing {
namespace {

Matrix normalize(const Model& model, const NormSpec& spec, const Matrix& x) {
  const std::vector<float> gamma = read_floats(model.tensors.at(spec.name + ".weight"), spec.name);
  std::vector<float> beta(gamma.size(), 0.0f);
  if (spec.bias) beta = read_floats(model.tensors.at(spec.name + ".bias"), spec.name);
  Matrix y = x;
  for (std::vector<double>& row : y) {
    const auto n = static_cast<double>(row.size());
    double mean = 0, square = 0;
    if (spec.kind == NormKind::kLayerNorm) {
      for (const double value : row) mean += value / n;
    }
    for (const double value : row) square += (value - mean) * (value - mean) / n;
    const double factor = spec.kind == NormKind::kAffine ? 1 : 1 / std::sqrt(square + spec.epsilon);
    for (std::size_t i = 0; i < row.size(); ++i) row[i] = (row[i] - mean) * factor * gamma[i] + beta[i];
  }
  return y;
}

void add(Matrix& y, const Matrix& x) {
  for (std::size_t t = 0; t < y.size(); ++t) {
    for (std::size_t i = 0; i < y[t].size(); ++i) y[t][i] += x[t][i];
  }
}

void activate(Matrix& y, Activation activation) {
  for (auto& row : y) {
    for (double& value : row) value = reference_activation(activation, value);
  }
}

std::vector<double> embedding_row(const Model& model, const std::string& name, int64_t rows, int64_t width,
                                  int64_t row) {
  std::vector<float> values(static_cast<std::size_t>(width));
  resolve_embedding(model.tensors, name, rows, width).read_row(row, values);
  return {values.begin(), values.end()};
}

Matrix attend(const Model& model, const AttentionSpec& spec, const Matrix& q, const Matrix& k,
              const Matrix& v) {
  const auto length = static_cast<int64_t>(q.size());
  Matrix y(q.size(), std::vector<double>(q[0].size(), 0.0));
  const bool relative = spec.position.scheme == PositionScheme::kRelativeBuckets;
  Matrix table;  // [buckets][heads]
  for (int64_t row = 0; relative && row < spec.position.count; ++row)
    table.push_back(embedding_row(model, spec.position.name, spec.position.count, spec.num_heads, row));
  for (int64_t head = 0; head < spec.num_heads; ++head) {
    const int64_t f0 = head * spec.head_dim;
    for (int64_t i = 0; i < length; ++i) {
      std::vector<double> weight(q.size(), 0.0);
      double sum = 0, highest = -1e300;
      for (int pass = 0; pass < 2; ++pass) {
        for (int64_t j = 0; j < length; ++j) {
          if (spec.window > 0 && std::abs(i - j) > spec.window) continue;
          double score = 0;
          for (int64_t d = f0; d < f0 + spec.head_dim; ++d) score += q[i][d] * k[j][d];
          score *= spec.scale;
          if (relative)
            score +=
                table[relative_bucket(j - i, spec.position.num_buckets, spec.position.max_distance)][head];
          if (pass == 0) highest = std::max(highest, score);
          if (pass == 1) sum += weight[j] = std::exp(score - highest);
        }
      }
      for (int64_t j = 0; j < length; ++j) {
        for (int64_t d = f0; d < f0 + spec.head_dim; ++d) y[i][d] += weight[j] / sum * v[j][d];
      }
    }
  }
  return y;
}

}  // namespace

double reference_activation(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
  }
  return x;
}

Matrix reference_linear(const Model& model, const LinearSpec& spec, const Matrix& input,
                        IntegerProducts integers) {
  const Linear linear = resolve_linear(model, spec);
  const std::vector<float> weight = dense_weight(linear);
  std::vector<float> bias(static_cast<std::size_t>(spec.out), 0.0f);
  if (linear.has_bias) bias = read_floats(linear.bias, spec.name);
  Matrix y(input.size(), std::vector<double>(static_cast<std::size_t>(spec.out)));
  for (std::size_t t = 0; t < input.size(); ++t) {
    std::vector<double> x = input[t];
    if (integers == IntegerProducts::kQuantized && linear.kind == LinearKind::kQuantized &&
        linear.activations.kind != ActivationScheme::Kind::kNone) {
      const ActivationScheme& scheme = linear.activations;
      std::vector<float> smooth(x.size(), 1.0f);
      if (!linear.smooth.bytes.empty()) smooth = read_floats(linear.smooth, spec.name);
      const int32_t levels = 1 << scheme.bits;
      IntegerRange range =
          scheme.symmetric ? IntegerRange{-(levels / 2 - 1), levels / 2 - 1} : IntegerRange{0, levels - 1};
      double lo = 0, hi = 0;
      for (std::size_t k = 0; k < x.size(); ++k) {
        const double value = static_cast<float>(x[k]) * (1 / smooth[k]);
        lo = std::min(lo, value), hi = std::max(hi, value);
      }
      QuantParams params = scheme.symmetric
                               ? symmetric_params(static_cast<float>(std::max(-lo, hi)), range)
                               : affine_params(static_cast<float>(lo), static_cast<float>(hi), range);
      if (scheme.kind == ActivationScheme::Kind::kStatic) {
        params = {linear.input_scale, 1 / linear.input_scale, linear.input_zero};
        range = {scheme.symmetric ? 1 : 0, levels - 1};
      }
      for (std::size_t k = 0; k < x.size(); ++k) {
        const int32_t code = quantize_value(static_cast<float>(x[k]) * (1 / smooth[k]), params, range);
        // The dense weight has 1 / smooth in it.
        x[k] = static_cast<double>(params.scale) * (code - params.zero_point) * smooth[k];
      }
    }
    for (int64_t n = 0; n < spec.out; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < spec.in; ++k) sum += x[k] * weight[static_cast<std::size_t>(n * spec.in + k)];
      y[t][n] = sum + bias[static_cast<std::size_t>(n)];
    }
  }
  return y;
}

Matrix reference_hidden(const Model& model, const std::vector<int32_t>& ids,
                        const std::vector<int32_t>& types, IntegerProducts integers) {
  const Description& d = model.description;
  const EmbeddingSpec& e = d.embedding;
  Matrix x;
  for (std::size_t t = 0; t < ids.size(); ++t) {
    x.push_back(embedding_row(model, e.word, e.vocab_size, e.width, ids[t]));
  }
  if (e.trigram) {
    const Matrix words = x;
    const std::vector<double> none(static_cast<std::size_t>(e.width), 0.0);
    for (std::size_t t = 0; t < ids.size(); ++t) {
      x[t].clear();
      for (const std::vector<double>* part :
           {t + 1 < ids.size() ? &words[t + 1] : &none, &words[t], t > 0 ? &words[t - 1] : &none})
        x[t].insert(x[t].end(), part->begin(), part->end());
    }
  }
  if (e.projects_words) x = reference_linear(model, e.projection, x, integers);
  for (std::size_t t = 0; t < ids.size(); ++t) {
    const auto add_row = [&](const std::vector<double>& row) {
      for (std::size_t i = 0; i < row.size(); ++i) x[t][i] += row[i];
    };
    if (!e.token_type.empty()) {
      add_row(embedding_row(model, e.token_type, e.type_vocab_size, e.table_width(),
                            types.empty() ? 0 : types[t]));
    }
    if (e.position.scheme != PositionScheme::kNone) {
      add_row(embedding_row(model, e.position.name, e.position.count, e.table_width(),
                            static_cast<int64_t>(t) + e.position.offset));
    }
  }
  if (e.has_norm) x = normalize(model, e.norm, x);
  if (e.has_projection && !e.projects_words) x = reference_linear(model, e.projection, x, integers);
  std::vector<Matrix> values{x};
  for (const Block& block : d.blocks) {
    Matrix in = values[block.input];
    if (block.norm_place == NormPlace::kPre) in = normalize(model, block.norm, in);
    Matrix y;
    if (const auto* a = std::get_if<AttentionSpec>(&block.part)) {
      const Matrix& qk = a->query_key_input == kNoValue ? in : values[a->query_key_input];
      const Matrix context = attend(model, *a, reference_linear(model, a->query, qk, integers),
                                    reference_linear(model, a->key, qk, integers),
                                    reference_linear(model, a->value, in, integers));
      y = reference_linear(model, a->output, context, integers);
    } else if (const auto* f = std::get_if<FeedForwardSpec>(&block.part)) {
      Matrix inner = reference_linear(model, f->up, in, integers);
      if (f->gated) {
        Matrix gate = reference_linear(model, f->gate, in, integers);
        activate(gate, f->activation);
        for (std::size_t t = 0; t < inner.size(); ++t) {
          for (std::size_t i = 0; i < inner[t].size(); ++i) inner[t][i] *= gate[t][i];
        }
      } else {
        activate(inner, f->activation);
      }
      y = reference_linear(model, f->down, inner, integers);
    } else if (const auto* b = std::get_if<BottleneckSpec>(&block.part)) {
      y = reference_linear(model, b->linear, in, integers);
      activate(y, b->activation);
    } else {
      y = normalize(model, std::get<NormSpec>(block.part), in);
    }
    if (block.residual != kNoValue) add(y, values[block.residual]);
    if (block.norm_place == NormPlace::kPost) y = normalize(model, block.norm, y);
    values.push_back(y);
  }
  return values[d.output];
}

TEST(ReferenceForward, GeluOfOne) {
  EXPECT_NEAR(reference_activation(Activation::kGelu, 1.0), 0.8413447460685429, 1e-15);
}

}  // namespace penjing::testing
