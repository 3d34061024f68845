#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "kernels/pointwise/pointwise.h"
#include "runtime/linear_op.h"
#include "runtime/token_span.h"

namespace penjing {

// Tokens that a recurrence passes through from zeros: a sequence, or what of it has one token type.
struct TokenRun {
  int64_t begin = 0, length = 0;
};
// The one of sequence i that begins at token `begin` of the span.
TokenRun find_run(const TokenSpan& tokens, int64_t i, int64_t begin, bool by_type);

// A bidirectional LSTM over every sequence of a batch (RecurrentSpec), from panels to panels. The products
// with the inputs have been computed; what is left are, for each direction, steps over the tokens, each a
// product with the states of up to 64 sequences, one a lane. The longest go first, so that lanes that are
// done are the last ones and panels become narrower. A lane never sees another, so a sequence's result does
// not depend on which others it goes with. Tasks are (64 sequences, direction). A session keeps one and
// reuses its memory.
class RecurrentOp {
 public:
  struct Args {
    const float* x[2];              // panels [4 size]: forward, backward
    const PackedLinear* hidden[2];  // [4 size, size], reads floats
    float* y;                       // panels [2 size]
    int64_t size;
    bool restarts;
  };
  void run(const TokenSpan& tokens, ThreadPool& pool, const pointwise::Kernel& pointwise, const Args& args);

 private:
  void run_task(const TokenRun* runs, int64_t count, int direction, int64_t num_tokens,
                const pointwise::Kernel& pointwise, const Args& args, float* scratch) const;

  std::vector<TokenRun> runs_;
  AlignedBuffer<float> scratch_;
};

}  // namespace penjing
