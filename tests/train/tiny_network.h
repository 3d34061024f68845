#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "train/objective.h"
#include "train/packed_batch.h"

namespace penjing::testing {

// A network of a model that stays where it is.
inline std::unique_ptr<train::Network> make_network(const Model& model) {
  auto network = std::make_unique<train::Network>();
  network->model = &model;
  network->parameters = train::load_parameters(model);
  network->encoder = std::make_unique<train::Encoder>(model.description, network->parameters);
  return network;
}

// A forward in single precision: without dropout, unless `dropout`, which is of hidden rows, attention and
// classifier alike.
struct Forwarding {
  std::unique_ptr<train::Arithmetic> arithmetic = train::make_arithmetic("fp32");
  train::ForwardContext context;
  explicit Forwarding(double dropout = 0) {
    context.arithmetic = arithmetic.get();
    context.training = true;
    context.hidden_dropout = context.attention_dropout = context.classifier_dropout = dropout;
    context.random = {7, 3};
  }
};

inline train::PackedBatch pack_numbered(const RaggedBatch& batch) {
  std::vector<int64_t> samples;
  for (int64_t i = 0; i < batch.num_sequences(); ++i) samples.push_back(100 + i);
  return train::pack(batch, samples);
}

inline std::vector<float> to_vector(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kFloat).contiguous();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

// Largest |a - b| over largest |b|.
inline double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 1e-30;
  if (a.size() != b.size()) return 1e30;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = std::max(difference, std::abs(static_cast<double>(a[i]) - b[i]));
    size = std::max(size, std::abs(static_cast<double>(b[i])));
  }
  return difference / size;
}

}  // namespace penjing::testing
