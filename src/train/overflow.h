#pragma once

#include <string>

#include "numerics/exponent_histogram.h"
#include "train/torch.h"

namespace penjing::train {

// A tensor of a step that had values which its format cannot hold.
struct OverflowReport {
  std::string site;       // module ("encoder.layer.3.output.dense") or parameter
  std::string tensor;     // "output", "gradient of output", "gradient of input", "gradient of weight", ...
  std::string format;     // name of numerics/float_format.h
  int64_t overflows = 0;  // finite before they were rounded, infinite after
  ExponentHistogram histogram;  // before they were rounded

  // One line: where, how many, the exponents that were needed and those that the format has.
  std::string text() const;
  Json to_json() const;
};

// Of a tensor of any float type, on any device.
ExponentHistogram histogram_of(const at::Tensor& x);

}  // namespace penjing::train
