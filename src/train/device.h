#pragma once

#include <string>

#include "train/loop_settings.h"
#include "train/torch.h"

namespace penjing::train {

// A device by LibTorch's name for it ("cpu", "cuda", "cuda:1"; without a number the first). kInput for what
// is no name; kUnsupported, saying which LibTorch this program has and what it sees, where there is no such
// device.
at::Device find_device(const std::string& name);

// kUnsupported where something that the settings ask for is computed on the CPU alone: emulated number
// formats, quantization-aware training, several ranks.
void require_support(at::Device device, const LoopSettings& settings, bool quantization_aware);

// find_device() of the settings, and require_support(): before anything is read or written.
at::Device require_device(const LoopSettings& settings, bool quantization_aware);

}  // namespace penjing::train
