#pragma once

#include <chrono>
#include <span>

#include "runtime/program.h"
#include "runtime/token_span.h"

namespace penjing {

// Sees how long each step of a forward takes (`penjing profile`). What a step computes is for taps; this sees
// time alone, and a session without one does not read the clock.
struct StepPiece {
  std::chrono::steady_clock::time_point begin, end;
  int thread = 0;
};

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
  // What the step took of the forward: threads that run whole panels each count with their share, so that the
  // steps add up to the forward but for the time that a thread waits for another.
  Clock::duration duration;
  // When and where: one piece for a step that all threads share, else one for each panel. Valid during the
  // call.
  std::span<const StepPiece> pieces;
};

class StepObserver {
 public:
  virtual ~StepObserver() = default;
  // Called in the thread that runs predict(), after the step or the segment that holds it, in the order of
  // the program.
  virtual void on_step(const StepEvent& event) = 0;
};

}  // namespace penjing
