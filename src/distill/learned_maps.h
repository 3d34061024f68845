#pragma once

#include <string>

#include "distill/loss.h"

// Layers that a loss learns beside the student and that are thrown away after training. Their tensors are
// entries of setup.parameters, named setup.prefix + name + ".weight" and so on, drawn from (seed, name).
namespace penjing::distill {

// y = x W^T + b. Weights normal with the deviation, biases 0.
class LearnedLinear {
 public:
  LearnedLinear() = default;
  LearnedLinear(const LossSetup& setup, const std::string& name, int64_t in, int64_t out, bool bias,
                double deviation);
  at::Tensor operator()(const at::Tensor& x) const;
  at::Tensor as_constant(const at::Tensor& x) const;  // the weights get no gradient
  bool is_there() const { return parameters_ != nullptr; }

 private:
  const train::Parameters* parameters_ = nullptr;
  std::string name_;
};
// Deviation of torch.nn.Linear's weights (uniform in +-1 / sqrt(in)).
double default_deviation(int64_t in);

// Batch norm over the rows of the batch: y = (x - mean) / sqrt(variance + 1e-5) * scale + shift, a column at
// a time; scale 1 and shift 0 at first. A loss is computed in training alone: no running statistics are kept.
class LearnedBatchNorm {
 public:
  LearnedBatchNorm() = default;
  LearnedBatchNorm(const LossSetup& setup, const std::string& name, int64_t width);
  at::Tensor operator()(const at::Tensor& rows) const;
  bool is_there() const { return parameters_ != nullptr; }

 private:
  const train::Parameters* parameters_ = nullptr;
  std::string name_;
};

// A learned vector, at first all `value`.
class LearnedVector {
 public:
  LearnedVector() = default;
  LearnedVector(const LossSetup& setup, const std::string& name, int64_t width, double value);
  const at::Tensor& operator()() const { return parameters_->at(name_); }

 private:
  const train::Parameters* parameters_ = nullptr;
  std::string name_;
};

}  // namespace penjing::distill
