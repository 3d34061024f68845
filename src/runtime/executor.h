#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "kernels/panel.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/quantize/quantize.h"
#include "predict/tap.h"
#include "runtime/attention_op.h"
#include "runtime/program.h"
#include "runtime/recurrent_op.h"
#include "runtime/step_observer.h"
#include "runtime/stops.h"
#include "runtime/token_span.h"

namespace penjing {

// Runs one program on the buffers of one session. Memory grows to the largest batch seen and then stays: the
// second forward of a size allocates nothing.
//
// A segment runs panel by panel, a panel on one thread, as long as there is one for every thread; on the
// panels that are left over all threads work together, step by step, each on some of the outputs. With a tap
// that wants something every step runs on all panels before the next, and local slots have room for all.
class Executor {
 public:
  // observer: sees the time of every step, as steps of `phase`; may be null.
  Executor(const Program& program, ThreadPool& pool, StepEvent::Phase phase = StepEvent::Phase::kEncoder,
           StepObserver* observer = nullptr);

  // Makes room for num_tokens; then input() may be written, and second_input(), which is null where the
  // program has none.
  void reserve(int64_t num_tokens);
  float* input() { return floats(program_.input, {0, 0}); }
  float* second_input() {
    return program_.second_input < 0 ? nullptr : floats(program_.second_input, {0, 0});
  }
  const float* output() const { return const_cast<Executor*>(this)->floats(program_.output, {0, 0}); }
  PanelShape shape() const { return shape_; }

  // tokens: what attention and recurrent steps need; null for a head, which has none. tap may be null.
  void run(const TokenSpan* tokens, Tap* tap);

  // The same in pieces, of a program with stops, without a tap: from where it stands (after reserve(), the
  // start) to its stop `stop`, or to its end with the number of stops.
  void run_to(std::size_t stop, const TokenSpan& tokens);
  const float* at_stop(std::size_t stop) const;
  // There: these of its tokens alone, ascending, go on, and are all that the program has from now.
  void keep(std::size_t stop, std::span<const int64_t> tokens);

 private:
  // A panel, and which of the places of local slots it uses.
  struct Place {
    int64_t panel, lane;
  };
  std::byte* bytes(int slot, Place place);
  float* floats(int slot, Place place) { return reinterpret_cast<float*>(bytes(slot, place)); }
  ConvertedInput converted(int slot, Place place);
  void reserve_local(int64_t padded_tokens);

  int64_t features(int slot) const { return program_.slots[static_cast<std::size_t>(slot)].features; }

  // Segments [first, last).
  void run_segments(std::size_t first, std::size_t last, const TokenSpan* tokens, Tap* tap);
  int64_t panels_to_own() const;
  void run_segment(const Segment& segment, int64_t own_panels, Tap* tap);
  void run_on_panel(const Step& step, Place place);
  void run_together(const Step& step, int64_t first_panel);
  void run_attention(const AttentionStep& step, const TokenSpan& tokens);
  void run_recurrent(const RecurrentStep& step, const TokenSpan& tokens);
  // target, where it is not null, takes the place of the products' own slots: panels of all tokens (taps).
  void run_products(std::span<const Product> products, int64_t first_panel, float* target);
  void run_chunk(const Product& product, Place place, int64_t n_begin, int64_t n_end, float* target);
  void run_tap(const TapStep& step, Tap& tap);

  template <typename Body>
  void observe(int step, int64_t piece, int thread, Body body);
  void report(const Segment& segment, const TokenSpan* tokens, int64_t own_panels);

  const Program& program_;
  ThreadPool& pool_;
  const pointwise::Kernel& pointwise_;
  const quantize::Kernel& quantize_;
  AttentionOp attention_;
  RecurrentOp recurrent_;
  StepEvent::Phase phase_;
  StepObserver* observer_;
  std::vector<AlignedBuffer<std::byte>> buffers_;
  AlignedBuffer<float> tap_panels_, tap_rows_, kept_;
  std::size_t next_segment_ = 0;
  std::vector<char> wanted_;  // by site
  bool any_wanted_ = false;
  std::vector<Stop> stops_;
  PanelShape shape_;
  int64_t capacity_tokens_ = 0, local_capacity_tokens_ = 0;
  // Observed: for each step of the segment what each panel of a thread's own took, then what all together
  // did.
  std::vector<StepPiece> pieces_;
  const Segment* observed_segment_ = nullptr;
  int64_t observed_panels_ = 0;
};

}  // namespace penjing
