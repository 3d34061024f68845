#pragma once

#include <functional>

#include "train/communicator.h"
#include "train/loop_settings.h"
#include "train/objective.h"

namespace penjing::train {

class LinearFakeQuantizer;

// Trains network.parameters on the objective. Resumes from settings.folder's newest checkpoint when `resume`.
// Interrupted (base/interrupt.h) between two steps: writes a checkpoint, then throws. kFormat when loss or
// gradients are not finite (the checkpoints are from before). communicator: null for one process. quantizer:
// null without quantization-aware training.
LoopResult train(Network& network, Objective& objective, const LoopSettings& settings, bool resume,
                 Communicator* communicator = nullptr,
                 const std::function<void(const StepLog&)>& on_step = {},
                 LinearFakeQuantizer* quantizer = nullptr);

}  // namespace penjing::train
