#include "compress/weight_rounding.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"

namespace penjing {

namespace {

float largest_magnitude(const float* values, int64_t count, int64_t stride = 1) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(values[i * stride]));
  return largest;
}

double squared_error(const float* values, int64_t count, int64_t stride, const QuantParams& params,
                     IntegerRange range) {
  double error = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float x = values[i * stride];
    const double gap = double{dequantize_value(quantize_value(x, params, range), params)} - x;
    error += gap * gap;
  }
  return error;
}

// Scale of `count` values: their largest magnitude, or the share of it (down to a half) with the least
// squared error.
QuantParams choose_params(const float* values, int64_t count, int64_t stride, const RoundingRule& rule) {
  const float largest = largest_magnitude(values, count, stride);
  QuantParams best = symmetric_params(largest, rule.range);
  if (!rule.search_scale || largest == 0) return best;
  double best_error = squared_error(values, count, stride, best, rule.range);
  for (int percent = 99; percent >= 50; --percent) {
    const QuantParams params = symmetric_params(largest * static_cast<float>(percent) / 100, rule.range);
    const double error = squared_error(values, count, stride, params, rule.range);
    if (error < best_error) best_error = error, best = params;
  }
  return best;
}

int64_t group_size_of(const RoundingRule& rule, int64_t in) {
  if (rule.granularity != Granularity::kGroup) return in;
  if (rule.group_size < 1 || in % rule.group_size != 0)
    fail(ErrorKind::kInternal, "groups of {} columns where there are {}", rule.group_size, in);
  return rule.group_size;
}

// The upper triangular U with U^T U = H^-1, [n, n] row-major, from H positive definite. With P the reversal
// of the order: P H P = L L^T, and U = P L^-1 P.
std::vector<double> inverse_factor(const std::vector<double>& h, int64_t n) {
  const auto at = [n](int64_t row, int64_t column) { return static_cast<std::size_t>(row * n + column); };
  std::vector<double> l(h.size(), 0);
  for (int64_t i = 0; i < n; ++i) {
    check_interrupt();
    for (int64_t j = 0; j <= i; ++j) {
      const double* a = l.data() + i * n;
      const double* b = l.data() + j * n;
      double sums[4] = {0, 0, 0, 0};
      int64_t k = 0;
      for (; k + 4 <= j; k += 4) {
        for (int64_t m = 0; m < 4; ++m) sums[m] += a[k + m] * b[k + m];
      }
      for (; k < j; ++k) sums[0] += a[k] * b[k];
      const double value = h[at(n - 1 - i, n - 1 - j)] - (sums[0] + sums[1] + sums[2] + sums[3]);
      if (i != j) {
        l[at(i, j)] = value / l[at(j, j)];
      } else if (value > 0) {
        l[at(i, i)] = std::sqrt(value);
      } else {
        fail(ErrorKind::kFormat, "the second moment of the inputs is not positive definite");
      }
    }
  }
  // L^-1 row by row: row i of the inverse is (e_i - sum over k < i of L[i][k] row_k) / L[i][i].
  std::vector<double> inverse(l.size(), 0);
  for (int64_t i = 0; i < n; ++i) {
    check_interrupt();
    double* row = inverse.data() + i * n;
    for (int64_t k = 0; k < i; ++k) {
      const double factor = l[at(i, k)];
      const double* other = inverse.data() + k * n;
      for (int64_t j = 0; j <= k; ++j) row[j] -= factor * other[j];
    }
    row[i] = 1;
    for (int64_t j = 0; j <= i; ++j) row[j] /= l[at(i, i)];
  }
  std::vector<double> u(l.size(), 0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j) u[at(n - 1 - i, n - 1 - j)] = inverse[at(i, j)];
  }
  return u;
}

}  // namespace

RoundedWeight round_to_nearest(std::span<const float> weight, int64_t out, int64_t in,
                               const RoundingRule& rule) {
  const int64_t group = group_size_of(rule, in);
  RoundedWeight result;
  result.codes.resize(weight.size());
  result.groups = in == 0 ? 1 : in / group;
  const QuantParams whole = rule.granularity == Granularity::kTensor
                                ? choose_params(weight.data(), out * in, 1, rule)
                                : QuantParams{};
  for (int64_t row = 0; row < out; ++row) {
    for (int64_t g = 0; g < result.groups; ++g) {
      const int64_t begin = row * in + g * group;
      const QuantParams params = rule.granularity == Granularity::kTensor
                                     ? whole
                                     : choose_params(weight.data() + begin, group, 1, rule);
      result.scales.push_back(params.scale);
      for (int64_t i = begin; i < begin + group; ++i) {
        result.codes[static_cast<std::size_t>(i)] =
            static_cast<int8_t>(quantize_value(weight[static_cast<std::size_t>(i)], params, rule.range));
      }
    }
  }
  return result;
}

RoundedWeight round_with_feedback(std::span<const float> weight, int64_t out, int64_t in,
                                  const RoundingRule& rule, std::span<const float> second_moment) {
  if (rule.granularity == Granularity::kTensor || static_cast<int64_t>(second_moment.size()) != in * in)
    fail(ErrorKind::kInternal, "error feedback: {} moments for {} inputs", second_moment.size(), in);
  const int64_t group = group_size_of(rule, in);
  std::vector<double> h(second_moment.begin(), second_moment.end());
  double mean = 0;
  for (int64_t i = 0; i < in; ++i) mean += h[static_cast<std::size_t>(i * in + i)] / static_cast<double>(in);
  for (int64_t i = 0; i < in; ++i) {
    double& diagonal = h[static_cast<std::size_t>(i * in + i)];
    if (diagonal == 0) diagonal = 1;  // never used: no error to carry
    diagonal += 0.01 * mean;
  }
  const std::vector<double> u = inverse_factor(h, in);

  // Columns of W side by side, so that one column's error reaches the others' whole lines.
  std::vector<float> columns(weight.size());
  for (int64_t row = 0; row < out; ++row) {
    for (int64_t c = 0; c < in; ++c)
      columns[static_cast<std::size_t>(c * out + row)] = weight[static_cast<std::size_t>(row * in + c)];
  }
  RoundedWeight result;
  result.codes.resize(weight.size());
  result.groups = in / group;
  result.scales.resize(static_cast<std::size_t>(out * result.groups));
  std::vector<QuantParams> params(static_cast<std::size_t>(out));
  constexpr int64_t kBlock = 64;  // errors reach the columns beyond a block together, once it is done
  std::vector<float> errors(static_cast<std::size_t>(kBlock * out));
  for (int64_t begin = 0; begin < in; begin += kBlock) {
    check_interrupt();
    const int64_t end = std::min(in, begin + kBlock);
    for (int64_t c = begin; c < end; ++c) {
      if (c % group == 0) {
        // A group's scale is that of its weights as carried errors have left them; beyond this block they are
        // still to come, which the paper's own code accepts as well.
        for (int64_t row = 0; row < out; ++row) {
          QuantParams& p = params[static_cast<std::size_t>(row)];
          p = choose_params(columns.data() + c * out + row, group, out, rule);
          result.scales[static_cast<std::size_t>(row * result.groups + c / group)] = p.scale;
        }
      }
      float* column = columns.data() + c * out;
      float* error = errors.data() + (c - begin) * out;
      const auto pivot = static_cast<float>(u[static_cast<std::size_t>(c * in + c)]);
      for (int64_t row = 0; row < out; ++row) {
        const QuantParams& p = params[static_cast<std::size_t>(row)];
        // A pruned weight stays zero; what it should have made good goes on to the next ones (Frantar &
        // Alistarh 2023).
        const bool pruned = weight[static_cast<std::size_t>(row * in + c)] == 0;
        const int32_t code = pruned ? 0 : quantize_value(column[row], p, rule.range);
        result.codes[static_cast<std::size_t>(row * in + c)] = static_cast<int8_t>(code);
        error[row] = (column[row] - dequantize_value(code, p)) / pivot;
      }
      for (int64_t next = c + 1; next < end; ++next) {
        const auto factor = static_cast<float>(u[static_cast<std::size_t>(c * in + next)]);
        float* target = columns.data() + next * out;
        for (int64_t row = 0; row < out; ++row) target[row] -= factor * error[row];
      }
    }
    for (int64_t next = end; next < in; ++next) {
      float* target = columns.data() + next * out;
      for (int64_t c = begin; c < end; ++c) {
        const auto factor = static_cast<float>(u[static_cast<std::size_t>(c * in + next)]);
        const float* error = errors.data() + (c - begin) * out;
        for (int64_t row = 0; row < out; ++row) target[row] -= factor * error[row];
      }
    }
  }
  return result;
}

std::vector<float> expand(const RoundedWeight& rounded, int64_t out, int64_t in) {
  std::vector<float> values(rounded.codes.size());
  const int64_t group = rounded.groups == 0 ? in : in / rounded.groups;
  for (int64_t row = 0; row < out; ++row) {
    for (int64_t c = 0; c < in; ++c) {
      values[static_cast<std::size_t>(row * in + c)] =
          static_cast<float>(rounded.codes[static_cast<std::size_t>(row * in + c)]) *
          rounded.scales[static_cast<std::size_t>(row * rounded.groups + c / group)];
    }
  }
  return values;
}

}  // namespace penjing
