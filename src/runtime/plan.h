#pragma once

#include "model/model.h"
#include "runtime/program.h"

namespace penjing {

// Description.blocks -> the encoder's program. Its input is the sum of the embedding tables (embedding_op.h),
// its output Description.output; it stops (runtime/stops.h) at each of the model's exits, in their order.
// Rotary positions are kUnsupported, by name.
Program plan_encoder(const Model& model, LinearPacker& packer);

}  // namespace penjing
