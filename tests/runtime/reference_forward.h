#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/model.h"

namespace penjing::testing {

// A matrix [rows][columns] of float64.
using Matrix = std::vector<std::vector<double>>;

// How the reference treats an integer product: not at all (dense weights), or with the activations of each
// token rounded to the codes of numerics/quantizer.h.
enum class IntegerProducts { kExact, kQuantized };

// The model on one sequence, straight from the Description by plain loops over rows in float64: written for
// being obviously right, and shares no code with the runtime but the reading of tensors.
Matrix reference_hidden(const Model& model, const std::vector<int32_t>& ids,
                        const std::vector<int32_t>& types, IntegerProducts integers);

// One product of the model on rows of input.
Matrix reference_linear(const Model& model, const LinearSpec& spec, const Matrix& x,
                        IntegerProducts integers);

double reference_activation(Activation activation, double x);

}  // namespace penjing::testing
