#include "train/weight_average.h"

namespace penjing::train {

WeightAverage::WeightAverage(const Parameters& parameters, double decay) : decay_(decay) {
  for (const Parameters::Entry& entry : parameters) values_.push_back(entry.tensor.detach().clone());
}

void WeightAverage::update(const Parameters& parameters) {
  const at::NoGradGuard no_gradient;
  std::size_t i = 0;
  for (const Parameters::Entry& entry : parameters) values_[i++].lerp_(entry.tensor, 1 - decay_);
}

void WeightAverage::exchange(const Parameters& parameters) {
  const at::NoGradGuard no_gradient;
  std::size_t i = 0;
  for (const Parameters::Entry& entry : parameters) {
    const at::Tensor weights = entry.tensor.clone();
    entry.tensor.copy_(values_[i]);
    values_[i++].copy_(weights);
  }
}

TensorMap WeightAverage::save(const Parameters& parameters) const {
  TensorMap out;
  std::size_t i = 0;
  for (const Parameters::Entry& entry : parameters) out.set(entry.name, from_torch(values_[i++]));
  return out;
}

void WeightAverage::load(const Parameters& parameters, const TensorMap& saved) {
  std::size_t i = 0;
  for (const Parameters::Entry& entry : parameters)
    values_[i++] = to_torch(saved.at(entry.name), entry.name).to(entry.tensor.device());
}

}  // namespace penjing::train
