#pragma once

#include <string>

#include "model/tensor.h"

namespace penjing {

// What `inspect` tells of one tensor's values; computed in blocks, memory does not grow with the tensor.
struct TensorStatistics {
  double min = 0, max = 0, mean = 0, deviation = 0;
  double zeros = 0;       // share of elements that are 0
  double outlier = 0;     // max |x| / root mean square
  double beyond_six = 0;  // share of elements farther than six deviations from the mean
  double zeros_4x1 = 0;   // rank 2: share of blocks of 4 outputs x 1 input that are all zero
  double pairs_2of4 = 0;  // rank 2: share of groups of 4 inputs with at least two zeros
  int64_t not_finite = 0;
};

TensorStatistics measure_tensor(const Tensor& tensor, const std::string& name);

}  // namespace penjing
