#include "runtime/recurrent_op.h"

#include <algorithm>

#include "runtime/panel_rows.h"

namespace penjing {
namespace {

int64_t round_up(int64_t lanes) {
  return (lanes + kLaneTokens - 1) / kLaneTokens * kLaneTokens;
}

// Rows [features][from] become [features][to], to < from, in place.
void narrow(float* rows, int64_t features, int64_t from, int64_t to) {
  for (int64_t f = 1; f < features; ++f) std::copy_n(rows + f * from, to, rows + f * to);
}

// gates: [4 size][width] before their functions, in the order i, f, g, o. sigmoid(x) = (1 + tanh(x / 2)) / 2,
// whose one tanh serves all four.
void step(const pointwise::Kernel& pointwise, float* gates, int64_t block, float* c, float* h) {
  for (int64_t i = 0; i < 2 * block; ++i) gates[i] *= 0.5f;
  for (int64_t i = 3 * block; i < 4 * block; ++i) gates[i] *= 0.5f;
  pointwise.apply(pointwise::Function::kTanh, gates, 4 * block);
  const float *in = gates, *forget = gates + block, *cell = gates + 2 * block, *out = gates + 3 * block;
  for (int64_t i = 0; i < block; ++i) {
    c[i] = (0.5f + 0.5f * forget[i]) * c[i] + (0.5f + 0.5f * in[i]) * cell[i];
    h[i] = c[i];
  }
  pointwise.apply(pointwise::Function::kTanh, h, block);
  for (int64_t i = 0; i < block; ++i) h[i] *= 0.5f + 0.5f * out[i];
}

}  // namespace

TokenRun find_run(const TokenSpan& tokens, int64_t i, int64_t begin, bool by_type) {
  int64_t end = tokens.begin(i) + tokens.length(i);
  if (by_type && tokens.types != nullptr) {
    const int32_t* types = tokens.types;
    end =
        std::find_if(types + begin, types + end, [&](int32_t type) { return type != types[begin]; }) - types;
  }
  return {begin, end - begin};
}

void RecurrentOp::run(const TokenSpan& tokens, ThreadPool& pool, const pointwise::Kernel& pointwise,
                      const Args& args) {
  runs_.clear();
  for (int64_t i = 0; i < tokens.num_sequences; ++i) {
    const int64_t end = tokens.begin(i) + tokens.length(i);
    for (int64_t token = tokens.begin(i); token < end; token += runs_.back().length)
      runs_.push_back(find_run(tokens, i, token, args.restarts));
  }
  std::sort(runs_.begin(), runs_.end(), [](const TokenRun& a, const TokenRun& b) {
    return a.length != b.length ? a.length > b.length : a.begin < b.begin;
  });
  const auto count = static_cast<int64_t>(runs_.size());
  // Two directions a group; fewer lanes where there would be less than a group for every thread.
  const int64_t lanes = std::clamp<int64_t>(
      round_up((2 * count + pool.num_threads() - 1) / pool.num_threads()), kLaneTokens, kPanelTokens);
  const int64_t groups = (count + lanes - 1) / lanes, scratch = 10 * args.size * lanes;
  const auto floats = static_cast<std::size_t>(scratch * pool.num_threads());
  if (scratch_.size() < floats) scratch_ = AlignedBuffer<float>(floats);
  clear_surplus_lanes(args.y, {tokens.num_tokens()}, 2 * args.size);
  pool.parallel_for(2 * groups, [&](int64_t task, int thread) {
    const int64_t first = task / 2 * lanes;
    run_task(runs_.data() + first, std::min(lanes, count - first), static_cast<int>(task % 2),
             tokens.num_tokens(), pointwise, args, scratch_.data() + thread * scratch);
  });
}

void RecurrentOp::run_task(const TokenRun* runs, int64_t count, int direction, int64_t num_tokens,
                           const pointwise::Kernel& pointwise, const Args& args, float* scratch) const {
  const PanelShape shape{num_tokens};
  const int64_t size = args.size, all = 4 * size;
  int64_t width = round_up(count);
  float* inputs = scratch;              // [4 size][width]
  float* gates = inputs + all * width;  // [4 size][width]
  float* h = gates + all * width;       // [size][width]
  float* c = h + size * width;          // [size][width]
  std::fill(h, h + 2 * size * width, 0.0f);
  const PackedLinear& hidden = *args.hidden[direction];
  int64_t active = count;
  for (int64_t t = 0; t < runs[0].length; ++t) {
    while (runs[active - 1].length <= t) --active;
    if (const int64_t fewer = round_up(active); fewer < width) {
      narrow(h, size, width, fewer);
      narrow(c, size, width, fewer);
      width = fewer;
    }
    const auto token_of = [&](int64_t lane) {
      return runs[lane].begin + (direction == 0 ? t : runs[lane].length - 1 - t);
    };
    for (int64_t lane = 0; lane < width; ++lane) {
      if (lane >= active) {
        for (int64_t f = 0; f < all; ++f) inputs[f * width + lane] = 0;
        continue;
      }
      const int64_t token = token_of(lane);
      const float* from = args.x[direction] + token_offset(token, all);
      const int stride = shape.width(token / kPanelTokens);
      for (int64_t f = 0; f < all; ++f) inputs[f * width + lane] = from[f * stride];
    }
    hidden.run(h, {.residual = inputs,
                   .y = gates,
                   .n_begin = 0,
                   .n_end = all,
                   .width = static_cast<int>(width),
                   .activation = pointwise::Function::kNone});
    step(pointwise, gates, size * width, c, h);
    for (int64_t lane = 0; lane < active; ++lane) {
      const int64_t token = token_of(lane);
      const int stride = shape.width(token / kPanelTokens);
      float* to = args.y + token_offset(token, 2 * size) + direction * size * stride;
      for (int64_t f = 0; f < size; ++f) to[f * stride] = h[f * width + lane];
    }
  }
}

}  // namespace penjing
