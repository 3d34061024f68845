#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_i8/gemm_i8.h"
#include "kernels/gemm_nbits/gemm_nbits.h"
#include "kernels/quantize/quantize.h"
#include "kernels/spmm_f32/spmm_f32.h"
#include "kernels/spmm_i8/spmm_i8.h"
#include "model/linear.h"

namespace penjing {

enum class Arithmetic { kF32, kBf16, kI8 };
const char* name_of(Arithmetic arithmetic);  // "fp32", "bf16", "int8"

// In what form a product reads a panel of its input: floats; u8 codes in quads or by rows (kernels/quantize),
// with a scale and a zero point for each token; bf16 in pairs (kernels/gemm_bf16).
enum class InputFormat { kFloat, kQuads, kRows, kPairs };

// The matrix of one product, packed once for the kernel chosen at load; shared when the model shares it. A
// matrix with enough zeros in 4x1 blocks is packed for a sparse kernel: from the share on that the kernel
// calls worthwhile.
struct PackedMatrix {
  // Exactly one is set.
  const gemm_f32::Kernel* f32 = nullptr;
  const gemm_bf16::Kernel* bf16 = nullptr;
  const gemm_i8::Kernel* i8 = nullptr;
  const gemm_nbits::Kernel* nbits = nullptr;  // weight-only: as f32 otherwise
  const spmm_f32::Kernel* sparse_f32 = nullptr;
  const spmm_i8::Kernel* sparse_i8 = nullptr;
  std::string name;  // of the first layer that uses it
  int64_t out = 0, in = 0;
  std::span<const std::byte> weight;
  gemm_nbits::Layout layout;         // nbits
  std::span<const float> scale;      // integers: [out], padded to 16 like the next
  std::span<const int32_t> row_sum;  // integers
  double zero_blocks = 0;            // share of 4x1 blocks that are zero
  double worthwhile = 1;             // from which share of them on a sparse kernel is taken; 1: there is none
  std::vector<std::shared_ptr<const void>> owners;  // of what the spans show: memory, or a mapped pack

  bool activates() const;           // its kernel applies an activation by itself
  std::string kernel_name() const;  // family and instruction set: "gemm_i8 avx512_vnni"
  bool sparse() const { return sparse_f32 != nullptr || sparse_i8 != nullptr; }
  Arithmetic arithmetic() const;
  InputFormat input_format() const;
  std::size_t bytes() const { return weight.size() + scale.size_bytes() + row_sum.size_bytes(); }
};

// How the input of a product that does not read floats is converted. Products whose converters are equal
// share the result of one input: Q, K and V.
struct InputConverter {
  InputFormat format = InputFormat::kQuads;
  // Of codes:
  ActivationScheme scheme;
  float scale = 1, inverse = 1;     // static
  int32_t zero = 0;                 // static
  AlignedBuffer<float> multiplier;  // [in]: 1 / smooth, or empty

  bool operator==(const InputConverter& other) const;
  void run(const quantize::Kernel& kernel, quantize::Args args) const;  // fills in what of args is its own
};

// A converted panel.
struct ConvertedInput {
  void* data = nullptr;  // uint8_t codes or uint16_t pairs
  float* scale = nullptr;
  int32_t* zero_point = nullptr;
};

// One product y = x W^T (+ bias) with its weights in kernel form.
struct PackedLinear {
  std::shared_ptr<const PackedMatrix> matrix;
  AlignedBuffer<float> bias;  // [out] padded to 16, or empty
  int64_t in = 0, out = 0;
  std::shared_ptr<const InputConverter> input;  // null: the product reads floats

  bool integer() const { return matrix->arithmetic() == Arithmetic::kI8; }

  // Outputs [n_begin, n_end) of one panel. y, residual (or null): [out][width].
  struct Work {
    const float* residual;
    float* y;
    int64_t n_begin, n_end;
    int width;
    pointwise::Function activation;  // kNone where the matrix does not activate
  };
  void run(const float* x, const Work& work) const;  // x: [in][width]
  void run(const ConvertedInput& x, const Work& work) const;

 private:
  template <typename Args>
  Args args_of(const Work& work) const;
  template <typename Args>
  Args integer_args_of(const ConvertedInput& x, const Work& work) const;
};

}  // namespace penjing
