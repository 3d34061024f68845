#pragma once

// The parts of LibTorch that the trainer is written against; the precompiled header of the module. Only
// train/, distill/ and search/ may include it, and no header that cli/ reads does (docs/architecture.md).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>
