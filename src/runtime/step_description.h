#pragma once

#include <cstdint>
#include <string>

#include "runtime/step_observer.h"

namespace penjing {

// What one step is and what it has to do, for people.
struct StepDescription {
  std::string kind;  // "product", "attention", "recurrent", "norm", "quantize", "normalize", "embedding",
                     // "pooling", "rows"
  std::string operation;  // module name without its layer: "attention.self.query + key + value"
  int layer = -1;         // -1 outside the layers
  Arithmetic arithmetic = Arithmetic::kF32;  // of the operations
  bool sparse = false;  // some products skip zero blocks, which still count as operations
  // 2 a multiply-add; LayerNorm, softmax, activations and conversions count none, as in model/cost.h.
  int64_t operations = 0;
  int64_t weight_bytes = 0;      // packed weights and bias, each read once
  int64_t activation_bytes = 0;  // inputs read and outputs written, each once
};

StepDescription describe_step(const StepEvent& event);

}  // namespace penjing
