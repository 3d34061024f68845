#pragma once

#include <cstdint>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "kernels/attention/attention.h"
#include "kernels/attention_i8/attention_i8.h"
#include "kernels/panel.h"
#include "runtime/token_span.h"

namespace penjing {

// Scaled dot-product attention of every sequence of a batch, from panels to panels: tasks are (sequence,
// head, some groups of 16 queries), each with scratch of its thread. A session keeps one and reuses its
// memory.
class AttentionOp {
 public:
  AttentionOp();

  struct Args {
    const float *q, *k, *v;  // panels [num_heads * head_dim]
    float* y;
    int64_t num_heads, head_dim, window;
    float scale;
    bool integer;  // by kernels/attention_i8
    // Added to the scores, or null: of head h and a query `distance` tokens behind its key
    // relative[h * relative_stride + distance], readable for 16 distances from any of the batch's.
    const float* relative;
    int64_t relative_stride;
  };

  // Makes room; allocates only when a batch needs more than any before it.
  void reserve(const TokenSpan& tokens, int num_threads, int64_t max_head_dim, bool adds_to_scores);
  void run(const TokenSpan& tokens, ThreadPool& pool, const Args& args);

 private:
  struct Task {
    int64_t sequence, first_group, num_groups;
  };
  void run_task(const TokenSpan& tokens, const Task& task, int64_t head, const Args& args,
                float* scratch) const;
  // bias [key_end][16]: what is added to the scores of 16 queries from `first` on.
  static void write_bias(const Args& args, int64_t head, int64_t first, int64_t count, int64_t key_begin,
                         int64_t key_end, float* bias);
  void plan_tasks(const TokenSpan& tokens, int num_threads, int64_t num_heads);

  // Where the pieces of a thread's scratch lie, in floats; each a whole number of cache lines.
  struct Layout {
    int64_t q, out, work, prepared, k, v, bias, size;
  };

  const attention::Kernel* kernel_;
  const attention_i8::Kernel* integer_kernels_[2];  // for short sequences, for long ones
  Layout layout_{};
  AlignedBuffer<float> scratch_;
  AlignedBuffer<Task> tasks_;
  int64_t num_tasks_ = 0, planned_heads_ = 0;
};

}  // namespace penjing
