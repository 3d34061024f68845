#pragma once

#include "model/description.h"

namespace penjing::train {

// kUnsupported, naming the part, when the trainer cannot run a description: what the encoder's forward relies
// on.
void require_trainable(const Description& description);

}  // namespace penjing::train
