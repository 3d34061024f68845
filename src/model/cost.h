#pragma once

#include <string>
#include <vector>

#include "model/description.h"

namespace penjing {

// Parameters and floating-point operations (2 per multiply-add) of the parts of a model, from its description
// alone. Parts: "embeddings", "attention" (Q, K, V and output projections), "scores" (Q K^T and P V),
// "feed_forward", "bottleneck", "recurrent", "layer_norm", "pooler", "heads". LayerNorm, softmax and
// activations count no FLOPs, as in the papers.
struct PartCost {
  std::string part;
  int layer = -1;  // -1: not in a layer
  int64_t parameters = 0;
  int64_t flops = 0;  // for one sequence
};

std::vector<PartCost> measure_cost(const Description& description, int64_t sequence_length);

// Summed over layers, in the order of first appearance.
std::vector<PartCost> sum_parts(const std::vector<PartCost>& costs);

}  // namespace penjing
