#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/calibration.h"
#include "compress/model_sizes.h"

namespace penjing {

// Which heads and inner features of a layer stay, ascending; all of them where nothing goes.
struct KeptParts {
  std::vector<int64_t> heads;
  std::vector<std::vector<int64_t>> inner;  // of each feed-forward of the layer
};

// The most important heads and inner features of each layer, as many as `wanted` says. An inner column j of
// attention or feed-forward has the score
//   magnitude (no run)   |row j of the value or up projection, with its bias| * |column j of the output|
//   activation           sqrt(sum of x_j^2 over the texts' tokens) * |column j of the output|   (as Wanda)
// and a head the root of the sum of squares of its columns' scores. Of equal scores the first stays. kInput,
// naming the layer, for more parts than there are; kUnsupported for a product that is not stored dense.
std::vector<KeptParts> choose_parts(const Model& model, const std::vector<LayerWidths>& wanted,
                                    const CalibrationRun& run);

// Takes the others out of the tensors, whose remaining elements keep their bytes, and of config.json;
// describes the model anew.
void cut_parts(Model& model, const std::vector<KeptParts>& kept);

// Of a tensor [rows] or [rows, columns]: these alone, with their bytes.
void keep_rows(Model& model, const std::string& name, const std::vector<int64_t>& kept);
void keep_columns(Model& model, const std::string& name, const std::vector<int64_t>& kept);
// Indices of the `count` largest scores, ascending; of equal ones the first.
std::vector<int64_t> best_of(const std::vector<double>& scores, int64_t count);

// kUnsupported, naming it, where a product of the encoder is not one plain weight of its own (shared, low
// rank, smoothed, integers).
void require_plain_products(const Model& model);

}  // namespace penjing
