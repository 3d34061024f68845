#pragma once

#include "kernels/pointwise/pointwise.h"

namespace penjing::pointwise {

// One element of each function, in the reference order (ref.cc).
float exp_scalar(float x);
float erf_scalar(float x);
float tanh_scalar(float x);
float apply_scalar(Function function, float x);

}  // namespace penjing::pointwise
