#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "numerics/step_record.h"
#include "train/encoder.h"

namespace penjing::train {

// Records one step of the loop for `penjing numerics --diagnose`: exponents of activations, their gradients,
// weights, weights' gradients and updates. Costs a few passes over all of them, in this step alone.
//
//   StepRecorder recorder(step, precision, scaler.scale(), context.tap);
//   context.tap = &recorder;       // forward and backward of every micro batch
//   ... unscale ...
//   recorder.on_gradients(parameters);   // before clipping
//   recorder.before_update(parameters);
//   ... optimizer's step, if it is taken ...
//   recorder.after_update(parameters);
//   write_step_record(run, recorder.record());
class StepRecorder final : public TensorTap {
 public:
  // next: who else looks, or null.
  StepRecorder(int64_t step, std::string precision, double loss_scale, TensorTap* next = nullptr);

  bool wants(std::string_view site) override;
  // A value that several sites show (the input of Q, K and V) is recorded at the first.
  void on(std::string_view site, int layer, const at::Tensor& rows) override;
  bool wants_scores(int layer) override;
  void on_scores(int layer, const AttentionScores& scores) override;

  // Gradients as they are after the loss scale was divided out; undefined ones are left out.
  void on_gradients(const Parameters& parameters);
  void before_update(const Parameters& parameters);  // keeps a copy of the weights until after_update
  // Updates of parameters that changed. Not called: the step was left out, and the record has no updates.
  void after_update(const Parameters& parameters);

  // Activations in the order of the forward, then parameters in the order of the checkpoint.
  const RecordedStep& record() const;

 private:
  struct State;  // shared with the hooks on activations, which live as long as the graph
  std::shared_ptr<State> state_;
  TensorTap* next_;
  std::unordered_map<std::string, at::Tensor> seen_;  // of this forward, by site
  std::unordered_map<std::string, at::Tensor> before_;
};

}  // namespace penjing::train
