#include "runtime/attention_op.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "runtime/panel_rows.h"

namespace penjing {
namespace {

int64_t count_groups(int64_t length) {
  return (length + kLaneTokens - 1) / kLaneTokens;
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
      std::memcpy(target + f * stride + done, from + f * width, static_cast<std::size_t>(count) * 4);
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
      std::memcpy(to + f * width, source + f * stride + done, static_cast<std::size_t>(count) * 4);
    }
    done += count;
  }
}

}  // namespace

AttentionOp::AttentionOp() : kernel_(&attention::select()) {}

void AttentionOp::reserve(const TokenSpan& tokens, int num_threads, int64_t max_head_dim, bool has_window) {
  int64_t longest = 0, groups = 0;
  for (int64_t i = 0; i < tokens.num_sequences; ++i) {
    longest = std::max(longest, tokens.length(i));
    groups += count_groups(tokens.length(i));
  }
  stride_ = count_groups(longest) * kLaneTokens;
  max_head_dim_ = max_head_dim;
  // Per thread: k and v [head_dim][stride], q and out [head_dim][16], scores and the window's bias
  // [stride][16].
  scratch_floats_ =
      max_head_dim * (2 * stride_ + 2 * kLaneTokens) + stride_ * kLaneTokens * (has_window ? 2 : 1);
  const auto floats = static_cast<std::size_t>(scratch_floats_ * num_threads);
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
             scratch_.data() + thread * scratch_floats_);
  });
}

void AttentionOp::run_task(const TokenSpan& tokens, const Task& task, int64_t head, const Args& args,
                           float* scratch) const {
  const PanelShape shape{tokens.num_tokens()};
  const int64_t all = args.num_heads * args.head_dim, f0 = head * args.head_dim;
  const int64_t begin = tokens.begin(task.sequence), length = tokens.length(task.sequence);
  float* q = scratch;
  float* out = q + max_head_dim_ * kLaneTokens;
  float* scores = out + max_head_dim_ * kLaneTokens;
  float* k_copy = scores + stride_ * kLaneTokens;
  float* v_copy = k_copy + max_head_dim_ * stride_;
  float* bias = args.window > 0 ? v_copy + max_head_dim_ * stride_ : nullptr;

  attention::Args kernel_args{};
  kernel_args.q = q;
  kernel_args.out = out;
  kernel_args.scores = scores;
  kernel_args.head_dim = args.head_dim;
  kernel_args.scale = args.scale;
  const int64_t panel = begin / kPanelTokens;
  if (panel == (begin + length - 1) / kPanelTokens) {
    // The sequence lies inside one panel: its rows are keys and values in the form that the kernel reads.
    const int width = shape.width(panel);
    const int64_t base = token_offset(begin, all) + f0 * width;
    kernel_args.k = args.k + base;
    kernel_args.v = args.v + base;
    kernel_args.length_stride = width;
  } else {
    kernel_args.length_stride = count_groups(length) * kLaneTokens;
    gather_features(args.k, shape, all, f0, args.head_dim, begin, length, k_copy, kernel_args.length_stride);
    gather_features(args.v, shape, all, f0, args.head_dim, begin, length, v_copy, kernel_args.length_stride);
    kernel_args.k = k_copy;
    kernel_args.v = v_copy;
  }
  for (int64_t group = task.first_group; group < task.first_group + task.num_groups; ++group) {
    const int64_t first = group * kLaneTokens, count = std::min<int64_t>(kLaneTokens, length - first);
    if (count < kLaneTokens) std::fill(q, q + args.head_dim * kLaneTokens, 0.0f);
    gather_features(args.q, shape, all, f0, args.head_dim, begin + first, count, q, kLaneTokens);
    kernel_args.key_begin = 0;
    kernel_args.key_end = length;
    if (args.window > 0) {
      kernel_args.key_begin = std::max<int64_t>(0, first - args.window);
      kernel_args.key_end = std::min(length, first + count + args.window);
      for (int64_t j = kernel_args.key_begin; j < kernel_args.key_end; ++j) {
        for (int64_t lane = 0; lane < kLaneTokens; ++lane) {
          const int64_t distance = j > first + lane ? j - first - lane : first + lane - j;
          const bool seen = lane >= count || distance <= args.window;
          bias[j * kLaneTokens + lane] = seen ? 0.0f : -std::numeric_limits<float>::infinity();
        }
      }
      kernel_args.bias = bias;
    }
    kernel_->run(kernel_args);
    scatter_features(out, kLaneTokens, args.y, shape, all, f0, args.head_dim, begin + first, count);
  }
}

}  // namespace penjing
