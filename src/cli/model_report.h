#pragma once

#include <string>
#include <vector>

#include "model/model.h"
#include "runtime/engine.h"

namespace penjing::cli {

// How the zeros of a weight lie. From most to least that a CPU can make of it.
enum class ZeroPattern {
  kNone,          // less than 2 % zeros
  kBlocks,        // 4x1: blocks of four outputs x one input
  kTwoOfFour,     // at least two of every four inputs: an instruction of some GPUs, of no CPU
  kUnstructured,  //
};
const char* to_string(ZeroPattern pattern);  // "none", "4x1", "2:4", "unstructured"

struct ZeroReport {
  ZeroPattern pattern = ZeroPattern::kNone;
  double zeros = 0;        // share of elements
  double zero_blocks = 0;  // share of 4x1 blocks
};
// weight: rank 2, [out, in]
ZeroReport find_zeros(const Tensor& weight, const std::string& name);

// Layers whose names differ in numbers alone and that are multiplied in the same way.
struct LayerGroup {
  std::string name;  // "encoder.layer.*.output.dense"
  std::string kernel;
  int64_t matrices = 0, out = 0, in = 0;
  bool sparse = false;
  ZeroPattern pattern = ZeroPattern::kNone;
  double zeros = 0, zero_blocks = 0;  // means
  double worthwhile = 0;
  std::string verdict;  // what becomes of the zeros, in words; empty where there are none
};
std::vector<LayerGroup> group_layers(const Model& model, const Engine& engine);

}  // namespace penjing::cli
