#pragma once

#include <span>

#include "train/communicator.h"
#include "train/loop_settings.h"

namespace penjing::train {

// Compares what every rank is about to train with rank 0's: settings, the parameters' values, the examples'
// lengths, the step. kInput, on all ranks alike, names the first rank that differs and in what.
void require_same_start(Communicator& communicator, const Parameters& parameters,
                        const LoopSettings& settings, std::span<const int64_t> tokens, int64_t step);

}  // namespace penjing::train
