#pragma once

#include "kernels/pointwise/pointwise.h"
#include "model/description.h"

namespace penjing::train {

pointwise::Function function_of(Activation activation);

}  // namespace penjing::train
