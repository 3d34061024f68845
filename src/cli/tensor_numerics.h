#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "numerics/float_format.h"

namespace penjing::cli {

// What one format would do to a tensor.
struct FormatEffect {
  std::string name;  // "fp16", "fp8_e4m3 scaled" (the largest value onto the format's), "int8 by row"
  int64_t overflows = 0, underflows = 0,
          subnormals = 0;  // numbers: to infinity or cut, to zero, below the normal ones
  double max_error = 0, rms_error = 0, snr_db = 0;  // of the finite results; SNR infinite when exact
};

struct TensorNumerics {
  int64_t count = 0, zeros = 0;
  double largest = 0, rms = 0;
  std::map<int, int64_t> exponents;  // floor(log2 |x|) -> how many, zeros left out
  std::vector<FormatEffect> effects;
};

// values: `rows` rows of equal length, finite ones count. Formats: all of numerics/float_format.h (those of 8
// bits also scaled), int8, int7 and int4 with a scale for the tensor and one a row.
TensorNumerics measure_tensor(std::span<const float> values, int64_t rows, Rounding rounding,
                              Overflow overflow);

Json to_json(const TensorNumerics& numerics);
std::string histogram_text(const TensorNumerics& numerics);
std::string histogram_svg(const std::string& title, const TensorNumerics& numerics);

}  // namespace penjing::cli
