#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_i8/gemm_i8.h"
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
  const spmm_f32::Kernel* sparse_f32 = nullptr;
  const spmm_i8::Kernel* sparse_i8 = nullptr;
  AlignedBuffer<std::byte> weight;
  AlignedBuffer<float> scale;      // integers: [out], padded to 16 like the next
  AlignedBuffer<int32_t> row_sum;  // integers
  double zero_blocks = 0;          // share of 4x1 blocks that are zero

  bool sparse() const { return sparse_f32 != nullptr || sparse_i8 != nullptr; }
  Arithmetic arithmetic() const;
  InputFormat input_format() const;
  std::size_t bytes() const {
    return weight.size() + scale.size() * sizeof(float) + row_sum.size() * sizeof(int32_t);
  }
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

  // Outputs [n_begin, n_end) of one panel. x: [in][width]; y, residual (or null): [out][width].
  void run(const float* x, const float* residual, float* y, int64_t n_begin, int64_t n_end, int width) const;
  void run(const ConvertedInput& x, const float* residual, float* y, int64_t n_begin, int64_t n_end,
           int width) const;
};

// Packs weights, one matrix for each distinct tensor: a weight shared by several layers (ALBERT, or
// compression_config.shared) is packed once. Weight-only and FP16 weights, and BF16 ones on a CPU without
// that arithmetic, are expanded to FP32, which is said once in the log.
class LinearPacker {
 public:
  // One product, or two for a low-rank pair: right [rank, in] without bias, then left [out, rank].
  std::vector<PackedLinear> pack(const Linear& linear);
  std::size_t packed_bytes() const { return packed_bytes_; }

 private:
  std::shared_ptr<const PackedMatrix> pack_f32(const Tensor& weight, const std::vector<float>& values,
                                               int64_t out, int64_t in);
  std::shared_ptr<const PackedMatrix> pack_bf16(const Linear& linear);
  std::shared_ptr<const PackedMatrix> pack_i8(const Linear& linear);
  void note_expansion(const Linear& linear);

  struct Packed {
    const std::byte* key;  // first byte of the weight tensor
    const std::byte* scale_key;
    bool integer;
    std::shared_ptr<const void> owner;  // keeps the bytes alive, so that the key stays unique
    std::shared_ptr<const PackedMatrix> matrix;
  };
  std::shared_ptr<const PackedMatrix> find(const Tensor& weight, const Tensor* scale, bool integer) const;
  std::vector<Packed> packed_;
  std::size_t packed_bytes_ = 0;
  bool noted_ = false;
};

}  // namespace penjing
