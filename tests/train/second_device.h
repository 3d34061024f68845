#pragma once

#include <ATen/ATen.h>

namespace penjing::testing {

// A device that is none of LibTorch's, in LibTorch's place for one (PrivateUse1), so that what a GPU asks of
// the trainer can be tested where there is none. Its tensors' addresses cannot be read: data_ptr<float>()[0]
// ends the process. ATen's operations take tensors of one device alone, as CUDA's do, and throw "Expected all
// tensors to be on the same device" for others (of no dimensions: a CPU's number is taken); they compute what
// the CPU computes.
at::Device second_device();

}  // namespace penjing::testing
