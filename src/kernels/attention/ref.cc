// The definition in plain loops: one query at a time.
#include <cmath>
#include <limits>

#include "kernels/attention/attention.h"
#include "kernels/pointwise/scalar.h"

namespace penjing::attention::ref {

namespace {

constexpr int kQueries = 16;

void run(const Args& args) {
  for (int t = 0; t < kQueries; ++t) {
    float highest = -std::numeric_limits<float>::infinity();
    for (int64_t j = args.key_begin; j < args.key_end; ++j) {
      float sum = 0;
      for (int64_t d = 0; d < args.head_dim; ++d) {
        sum = std::fma(args.q[d * kQueries + t], args.k[d * args.length_stride + j], sum);
      }
      float score = sum * args.scale;
      if (args.bias != nullptr) score += args.bias[j * kQueries + t];
      args.scores[j * kQueries + t] = score;
      highest = score > highest ? score : highest;
    }
    float sums[4] = {0, 0, 0, 0};
    for (int64_t j = args.key_begin; j < args.key_end; ++j) {
      const float e = pointwise::exp_scalar(args.scores[j * kQueries + t] - highest);
      args.scores[j * kQueries + t] = e;
      sums[j % 4] += e;
    }
    const float inverse = 1.0f / ((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (int64_t d = 0; d < args.head_dim; ++d) {
      float sum = 0;
      for (int64_t j = args.key_begin; j < args.key_end; ++j) {
        sum = std::fma(args.scores[j * kQueries + t], args.v[d * args.length_stride + j], sum);
      }
      args.out[d * kQueries + t] = sum * inverse;
    }
  }
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {Isa::kRef, run};

}  // namespace penjing::attention::ref
