#include "train/device.h"

#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/version.h>

#include <algorithm>

#include "base/error.h"
#include "train/arithmetic.h"
#include "train/launch_environment.h"

namespace penjing::train {

namespace {

at::Device parse(const std::string& name) {
  try {
    return at::Device(name);
  } catch (const c10::Error&) {
    fail(ErrorKind::kInput, "device \"{}\"; there are cpu, cuda and cuda:N", name);
  }
}

}  // namespace

at::Device find_device(const std::string& name) {
  const at::Device device = parse(name);
  if (device.is_cpu()) return device;
  if (!c10::impl::hasDeviceGuardImpl(device.type())) {
    fail(ErrorKind::kUnsupported,
         "device {}: the LibTorch {} of this program has the CPU alone; build it with a LibTorch for CUDA "
         "(docs/training.md, \"On a GPU\"), or take device cpu",
         name, TORCH_VERSION);
  }
  const int64_t count = c10::impl::getDeviceGuardImpl(device.type())->deviceCount();
  if (count == 0) {
    fail(ErrorKind::kUnsupported,
         "device {}: the LibTorch {} of this program is one for CUDA, but it sees no GPU; is there one, does "
         "its driver "
         "answer (nvidia-smi), does CUDA_VISIBLE_DEVICES name it? Without one take device cpu",
         name, TORCH_VERSION);
  }
  if (device.index() >= count) {
    fail(ErrorKind::kUnsupported, "device {}: LibTorch {} sees {} of the kind, with numbers from 0", name,
         TORCH_VERSION, count);
  }
  return {device.type(), std::max<c10::DeviceIndex>(device.index(), 0)};
}

void require_support(at::Device device, const LoopSettings& settings, bool quantization_aware) {
  if (device.is_cpu()) return;
  const auto refuse = [&](const std::string& what) {
    fail(ErrorKind::kUnsupported, "device {}: {}; take device cpu", settings.device, what);
  };
  if (find_precision(settings.precision).emulated) {
    refuse(
        fmt::format("precision {} is emulated on the CPU, here there are fp32 and bf16", settings.precision));
  }
  if (quantization_aware) refuse("quantization-aware training computes as the runtime does, on the CPU");
  if (read_launch_environment().distributed()) refuse("several ranks exchange gradients in the CPU's memory");
}

at::Device require_device(const LoopSettings& settings, bool quantization_aware) {
  const at::Device device = find_device(settings.device);
  require_support(device, settings, quantization_aware);
  return device;
}

}  // namespace penjing::train
