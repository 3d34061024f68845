#pragma once

#include <cstdint>

#include "kernels/cpu.h"

namespace penjing::train_adamw {

// One step of AdamW (Loshchilov & Hutter 2019, Algorithm 2, the learning rate on the decay as PyTorch has it)
// on FP32 arrays, element by element:
//   g = gradient * gradient_scale            (clipping, loss scaling)
//   m = beta1 m + (1 - beta1) g
//   v = beta2 v + (1 - beta2) g^2
//   w = (1 - learning_rate weight_decay) w - step_size m / (sqrt(v) root_correction + epsilon)
// with step_size = learning_rate / (1 - beta1^t) and root_correction = 1 / sqrt(1 - beta2^t) for step t from
// 1 (both 1 times their numerator without bias correction). Fused multiply-adds where the formula has them.
struct Args {
  int64_t size;
  float* weight;
  float* m;
  float* v;
  const float* gradient;
  float gradient_scale;
  float beta1, one_less_beta1, beta2, one_less_beta2;
  float keep;  // 1 - learning_rate * weight_decay
  float step_size, root_correction, epsilon;
};

struct Kernel {
  Isa isa;
  void (*step)(const Args& args);
};

const Kernel& select();
const Kernel* find(Isa isa);

}  // namespace penjing::train_adamw
