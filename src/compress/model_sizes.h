#pragma once

#include <cstdint>
#include <vector>

#include "model/architectures.h"
#include "model/model.h"

namespace penjing {

// The sizes that a method may change, read from and written to config.json.
struct ModelSizes {
  int64_t hidden = 0, head_dim = 0;
  int64_t attention = 0;  // width of all heads of a whole layer: `hidden` but in a bottleneck
  std::vector<LayerWidths> layers;
  bool operator==(const ModelSizes&) const = default;
};

// How the model's family names its sizes; kUnsupported for one that cannot change them.
const SizeNames& size_names(const Model& model);

ModelSizes read_sizes(const Model& model);

// Into config.json alone. Where every layer has attention / head_dim heads and the same intermediate size,
// the family's own keys say it, as `transformers` reads them; else compression_config.layers does
// (model/architectures.h). pruned_heads goes. `attention` must be a multiple of `head_dim`.
void write_sizes(Model& model, const ModelSizes& sizes);

// Whether compression_config.layers says the widths: then only Penjing loads the model.
bool has_own_widths(const Model& model);

// The model with these of its layers, ascending, numbered anew; tensors share the bytes of the model's. All
// of them: the model itself.
Model keep_layers(const Model& model, const std::vector<int>& layers);

}  // namespace penjing
