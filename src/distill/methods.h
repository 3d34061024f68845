#pragma once

#include <span>

#include "compress/method.h"

namespace penjing::distill {

// The methods of compress/methods.def that are in distill/methods/, for add_methods().
std::span<const Method* const> distillation_methods();

}  // namespace penjing::distill
