#include "distill/learned_maps.h"

#include <cmath>

#include "train/new_head.h"

namespace penjing::distill {

namespace {

void add(const LossSetup& setup, const std::string& name, const at::Tensor& values) {
  setup.parameters->add(name, values.to(setup.type));
}

}  // namespace

double default_deviation(int64_t in) {
  return 1 / std::sqrt(3.0 * static_cast<double>(in));
}

LearnedLinear::LearnedLinear(const LossSetup& setup, const std::string& name, int64_t in, int64_t out,
                             bool bias, double deviation)
    : parameters_(setup.parameters), name_(setup.prefix + name) {
  const std::string weight = name_ + ".weight";
  add(setup, weight, train::to_torch(train::draw_normal({out, in}, deviation, setup.seed, weight), weight));
  if (bias) add(setup, name_ + ".bias", at::zeros({out}));
}

at::Tensor LearnedLinear::operator()(const at::Tensor& x) const {
  const at::Tensor* bias = parameters_->find(name_ + ".bias");
  return at::linear(x, parameters_->at(name_ + ".weight"),
                    bias == nullptr ? c10::optional<at::Tensor>() : *bias);
}

at::Tensor LearnedLinear::as_constant(const at::Tensor& x) const {
  const at::Tensor* bias = parameters_->find(name_ + ".bias");
  return at::linear(x, parameters_->at(name_ + ".weight").detach(),
                    bias == nullptr ? c10::optional<at::Tensor>() : bias->detach());
}

LearnedBatchNorm::LearnedBatchNorm(const LossSetup& setup, const std::string& name, int64_t width)
    : parameters_(setup.parameters), name_(setup.prefix + name) {
  add(setup, name_ + ".weight", at::ones({width}));
  add(setup, name_ + ".bias", at::zeros({width}));
}

at::Tensor LearnedBatchNorm::operator()(const at::Tensor& rows) const {
  return at::batch_norm(rows, parameters_->at(name_ + ".weight"), parameters_->at(name_ + ".bias"), {}, {},
                        true, 0.1, 1e-5, false);
}

LearnedVector::LearnedVector(const LossSetup& setup, const std::string& name, int64_t width, double value)
    : parameters_(setup.parameters), name_(setup.prefix + name) {
  add(setup, name_, at::full({width}, value));
}

}  // namespace penjing::distill
