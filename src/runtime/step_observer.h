#pragma once

#include <chrono>

#include "runtime/program.h"
#include "runtime/token_span.h"

namespace penjing {

// Sees how long each step of a forward takes (`penjing profile`). What a step computes is for taps; this sees
// time alone, and a session without one does not read the clock.
struct StepEvent {
  enum class Phase {
    kEmbedding,   // the tables, into the encoder's input; no step
    kEncoder,     // step `step` of the encoder
    kHeadInput,   // rows of the encoder's output picked or pooled for a head; no step
    kHead,        // step `step` of a head
    kOutputRows,  // panels to the rows that the caller gets; no step
  };
  using Clock = std::chrono::steady_clock;

  Phase phase;
  const Program* program;   // whose step, input or output it is
  int step;                 // index into program->steps, or -1
  int64_t num_tokens;       // tokens, or rows of a head
  const TokenSpan* tokens;  // the sequences; null in a head. Valid during the call
  Clock::time_point begin, end;
};

class StepObserver {
 public:
  virtual ~StepObserver() = default;
  // Called in the thread that runs predict(), after the step, in the order of execution.
  virtual void on_step(const StepEvent& event) = 0;
};

}  // namespace penjing
