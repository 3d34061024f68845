#pragma once

#include <cstdint>

#include "kernels/cpu.h"
#include "kernels/train_rows.h"

namespace penjing::train_norm {

// y = norm(z), z = residual + dropout(x), a row at a time, and its gradients.
//   layer norm  n = (z - mean) r, r = 1 / sqrt(mean((z - mean)^2) + epsilon), in two passes
//   RMS norm    n = z r, r = 1 / sqrt(mean(z^2) + epsilon)
//   affine      n = z
//   y = n * scale + shift
// Backward, with g = dy * scale: dz = r (g - mean(g) - n mean(g n)) (RMS: without mean(g); affine: g);
// d_residual = dz, d_x = dz times the keep mask, drawn again; d_scale = sum of dy n, d_shift = sum of dy over
// the rows.
enum class Norm { kLayerNorm, kRmsNorm, kAffine };

struct Shape {
  train_rows::Element element;  // of x, residual, y, z and their gradients
  Norm norm;
  int64_t rows, width;
  float epsilon;
  train_rows::Dropout dropout;
  const int64_t* row_keys;  // [rows]; null where nothing is dropped
};

struct Forward {
  Shape shape;
  const void* x;
  const void* residual;  // or null
  const float* scale;
  const float* shift;  // or null
  void* y;
  void* z;            // kept for backward; may be y
  float* statistics;  // [rows][2]: mean, r; or null
};

struct Backward {
  Shape shape;
  const void* dy;
  const void* z;
  const float* statistics;
  const float* scale;
  void* d_x;         // or null
  void* d_residual;  // or null
  float* d_scale;    // [width], added to; or null
  float* d_shift;    // likewise
};

struct Kernel {
  Isa isa;
  void (*forward)(const Forward& args);
  void (*backward)(const Backward& args);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::train_norm
