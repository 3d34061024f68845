#pragma once

#include <span>

#include "compress/method.h"

namespace penjing::train {

// The methods of compress/methods.def that are in train/methods/, for add_methods().
std::span<const Method* const> training_methods();

}  // namespace penjing::train
