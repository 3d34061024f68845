#include "runtime/attention_op.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "runtime/panel_rows.h"

namespace penjing {
namespace {

int64_t count_groups(int64_t length) {
  return (length + kLaneTokens - 1) / kLaneTokens;
}

// In pieces of known size, which are copied without a call.
void copy_tokens(const float* from, float* to, int64_t count) {
  for (; count >= kLaneTokens; count -= kLaneTokens, from += kLaneTokens, to += kLaneTokens) {
    std::memcpy(to, from, kLaneTokens * sizeof(float));
  }
  for (; count > 0; --count) *to++ = *from++;
}

// Tokens [begin, begin + length) of features [f0, f0 + features) -> rows [features][stride].
void gather_features(const float* panels, PanelShape shape, int64_t all_features, int64_t f0,
                     int64_t features, int64_t begin, int64_t length, float* target, int64_t stride) {
  for (int64_t done = 0; done < length;) {
    const int64_t token = begin + done, panel = token / kPanelTokens;
    const int64_t count = std::min(length - done, (panel + 1) * kPanelTokens - token);
    const int width = shape.width(panel);
    const float* from = panels + token_offset(token, all_features) + f0 * width;
    for (int64_t f = 0; f < features; ++f) {
      copy_tokens(from + f * width, target + f * stride + done, count);
    }
    done += count;
  }
}

void scatter_features(const float* source, int64_t stride, float* panels, PanelShape shape,
                      int64_t all_features, int64_t f0, int64_t features, int64_t begin, int64_t length) {
  for (int64_t done = 0; done < length;) {
    const int64_t token = begin + done, panel = token / kPanelTokens;
    const int64_t count = std::min(length - done, (panel + 1) * kPanelTokens - token);
    const int width = shape.width(panel);
    float* to = panels + token_offset(token, all_features) + f0 * width;
    for (int64_t f = 0; f < features; ++f) {
      copy_tokens(source + f * stride + done, to + f * width, count);
    }
    done += count;
  }
}

}  // namespace

AttentionOp::AttentionOp()
    : kernel_(&attention::select()), integer_kernels_{&attention_i8::select(0), &attention_i8::select()} {}

void AttentionOp::reserve(const TokenSpan& tokens, int num_threads, int64_t max_head_dim,
                          bool adds_to_scores) {
  int64_t longest = 0, groups = 0;
  for (int64_t i = 0; i < tokens.num_sequences; ++i) {
    longest = std::max(longest, tokens.length(i));
    groups += count_groups(tokens.length(i));
  }
  const int64_t stride = count_groups(longest) * kLaneTokens;
  const auto floats_of = [](std::size_t bytes) { return static_cast<int64_t>((bytes + 63) / 64 * 16); };
  std::size_t scratch_bytes = 0, prepared_bytes = 0;
  for (const auto* kernel : integer_kernels_) {
    scratch_bytes = std::max(scratch_bytes, kernel->scratch_bytes(max_head_dim, longest));
    prepared_bytes = std::max(prepared_bytes, kernel->prepared_bytes(max_head_dim, longest));
  }
  int64_t size = 0;
  const auto place = [&size](int64_t floats) { return std::exchange(size, size + (floats + 15) / 16 * 16); };
  layout_.q = place(max_head_dim * kLaneTokens);
  layout_.out = place(max_head_dim * kLaneTokens);
  layout_.work = place(std::max(stride * kLaneTokens, floats_of(scratch_bytes)));
  layout_.prepared = place(floats_of(prepared_bytes));
  layout_.k = place(max_head_dim * stride);
  layout_.v = place(max_head_dim * stride);
  layout_.bias = place(adds_to_scores ? stride * kLaneTokens : 0);
  layout_.size = size;
  const auto floats = static_cast<std::size_t>(size * num_threads);
  if (scratch_.size() < floats) scratch_ = AlignedBuffer<float>(floats);
  if (tasks_.size() < static_cast<std::size_t>(groups)) {
    tasks_ = AlignedBuffer<Task>(static_cast<std::size_t>(groups));
  }
  num_tasks_ = planned_heads_ = 0;
}

// A task copies the keys and values of a sequence once for all its groups; a sequence is cut only where
// sequences times heads are too few to keep every thread busy.
void AttentionOp::plan_tasks(const TokenSpan& tokens, int num_threads, int64_t num_heads) {
  const int64_t wanted = num_threads == 1 ? 1 : 4 * num_threads;
  const int64_t pieces = (wanted + tokens.num_sequences * num_heads - 1) / (tokens.num_sequences * num_heads);
  num_tasks_ = 0;
  for (int64_t i = 0; i < tokens.num_sequences; ++i) {
    const int64_t groups = count_groups(tokens.length(i));
    const int64_t step = std::max<int64_t>(1, (groups + pieces - 1) / pieces);
    for (int64_t first = 0; first < groups; first += step) {
      tasks_[static_cast<std::size_t>(num_tasks_++)] = {i, first, std::min(step, groups - first)};
    }
  }
  planned_heads_ = num_heads;
}

void AttentionOp::run(const TokenSpan& tokens, ThreadPool& pool, const Args& args) {
  if (planned_heads_ != args.num_heads) plan_tasks(tokens, pool.num_threads(), args.num_heads);
  clear_surplus_lanes(args.y, {tokens.num_tokens()}, args.num_heads * args.head_dim);
  pool.parallel_for(num_tasks_ * args.num_heads, [&](int64_t chunk, int thread) {
    run_task(tokens, tasks_[static_cast<std::size_t>(chunk / args.num_heads)], chunk % args.num_heads, args,
             scratch_.data() + thread * layout_.size);
  });
}

void AttentionOp::write_bias(const Args& args, int64_t head, int64_t first, int64_t count, int64_t key_begin,
                             int64_t key_end, float* bias) {
  if (args.relative != nullptr) {
    // The queries' distances to a key are 16 numbers in a row.
    const float* relative = args.relative + head * args.relative_stride + first;
    for (int64_t j = key_begin; j < key_end; ++j)
      std::memcpy(bias + j * kLaneTokens, relative - j, kLaneTokens * sizeof(float));
  } else {
    std::fill(bias + key_begin * kLaneTokens, bias + key_end * kLaneTokens, 0.0f);
  }
  if (args.window == 0) return;
  for (int64_t j = key_begin; j < key_end; ++j) {
    for (int64_t lane = 0; lane < count; ++lane) {
      const int64_t distance = j > first + lane ? j - first - lane : first + lane - j;
      if (distance > args.window) bias[j * kLaneTokens + lane] = -std::numeric_limits<float>::infinity();
    }
  }
}

void AttentionOp::run_task(const TokenSpan& tokens, const Task& task, int64_t head, const Args& args,
                           float* scratch) const {
  const PanelShape shape{tokens.num_tokens()};
  const int64_t all = args.num_heads * args.head_dim, f0 = head * args.head_dim;
  const int64_t begin = tokens.begin(task.sequence), length = tokens.length(task.sequence);
  float* q = scratch + layout_.q;
  float* out = scratch + layout_.out;
  float* bias = args.window > 0 || args.relative != nullptr ? scratch + layout_.bias : nullptr;

  const float* k = nullptr;
  const float* v = nullptr;
  int64_t stride = 0;
  const int64_t panel = begin / kPanelTokens;
  if (panel == (begin + length - 1) / kPanelTokens) {
    // The sequence lies inside one panel: its rows are keys and values in the form that the kernels read.
    stride = shape.width(panel);
    const int64_t base = token_offset(begin, all) + f0 * stride;
    k = args.k + base;
    v = args.v + base;
  } else {
    stride = count_groups(length) * kLaneTokens;
    gather_features(args.k, shape, all, f0, args.head_dim, begin, length, scratch + layout_.k, stride);
    gather_features(args.v, shape, all, f0, args.head_dim, begin, length, scratch + layout_.v, stride);
    k = scratch + layout_.k;
    v = scratch + layout_.v;
  }
  const attention_i8::Kernel& integer_kernel = *integer_kernels_[length >= integer_kernels_[1]->shortest];
  if (args.integer) {
    integer_kernel.prepare({.k = k,
                            .v = v,
                            .head_dim = args.head_dim,
                            .length = length,
                            .stride = stride,
                            .prepared = scratch + layout_.prepared});
  }
  for (int64_t group = task.first_group; group < task.first_group + task.num_groups; ++group) {
    const int64_t first = group * kLaneTokens, count = std::min<int64_t>(kLaneTokens, length - first);
    if (count < kLaneTokens) std::fill(q, q + args.head_dim * kLaneTokens, 0.0f);
    gather_features(args.q, shape, all, f0, args.head_dim, begin + first, count, q, kLaneTokens);
    int64_t key_begin = 0, key_end = length;
    if (args.window > 0) {
      key_begin = std::max<int64_t>(0, first - args.window);
      key_end = std::min(length, first + count + args.window);
    }
    if (bias != nullptr) write_bias(args, head, first, count, key_begin, key_end, bias);
    if (args.integer) {
      integer_kernel.run({.q = q,
                          .prepared = scratch + layout_.prepared,
                          .bias = bias,
                          .out = out,
                          .scratch = scratch + layout_.work,
                          .head_dim = args.head_dim,
                          .length = length,
                          .key_begin = key_begin,
                          .key_end = key_end,
                          .scale = args.scale});
    } else {
      kernel_->run({.q = q,
                    .k = k,
                    .v = v,
                    .bias = bias,
                    .out = out,
                    .scores = scratch + layout_.work,
                    .head_dim = args.head_dim,
                    .length_stride = stride,
                    .key_begin = key_begin,
                    .key_end = key_end,
                    .scale = args.scale});
    }
    scatter_features(out, kLaneTokens, args.y, shape, all, f0, args.head_dim, begin + first, count);
  }
}

}  // namespace penjing
