#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "kernels/panel.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/quantize/quantize.h"
#include "predict/tap.h"
#include "runtime/attention_op.h"
#include "runtime/program.h"
#include "runtime/step_observer.h"
#include "runtime/token_span.h"

namespace penjing {

// Runs one program on the buffers of one session. Memory grows to the largest batch seen and then stays: the
// second forward of a size allocates nothing.
class Executor {
 public:
  // observer: sees the time of every step, as steps of `phase`; may be null.
  Executor(const Program& program, ThreadPool& pool, StepEvent::Phase phase = StepEvent::Phase::kEncoder,
           StepObserver* observer = nullptr);

  // Makes room for num_tokens; then input() may be written.
  void reserve(int64_t num_tokens);
  float* input() { return floats(program_.input); }
  const float* output() const { return floats(program_.output); }
  PanelShape shape() const { return shape_; }

  // tokens: what attention steps need; null for a head, which has none. tap may be null.
  void run(const TokenSpan* tokens, Tap* tap);

 private:
  struct Codes {
    uint8_t* codes;
    float* scale;
    int32_t* zero_point;
  };
  float* floats(int slot);
  const float* floats(int slot) const;
  Codes codes(int slot);

  void run_step(const Step& step, const TokenSpan* tokens, Tap* tap);
  void run_quantize(const QuantizeStep& step);
  void run_products(const Product* products, int64_t num_products, float* target);
  void run_chunk(const Product& product, int64_t panel, int64_t n_begin, int64_t n_end, float* target);
  void run_norm(const NormStep& step);
  void run_normalize(const NormalizeStep& step);
  void run_tap(const TapStep& step, Tap& tap);

  const Program& program_;
  ThreadPool& pool_;
  const pointwise::Kernel& pointwise_;
  const quantize::Kernel& quantize_;
  AttentionOp attention_;
  StepEvent::Phase phase_;
  StepObserver* observer_;
  std::vector<AlignedBuffer<std::byte>> buffers_;
  AlignedBuffer<float> tap_panels_, tap_rows_;
  std::vector<char> wanted_;  // by site
  bool any_wanted_ = false;
  PanelShape shape_;
  int64_t capacity_tokens_ = 0;
};

}  // namespace penjing
