#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_i8/gemm_i8.h"
#include "kernels/quantize/quantize.h"
#include "model/linear.h"

namespace penjing {

// The matrix of one product, packed once for the kernel chosen at load; shared when the model shares it.
struct PackedMatrix {
  const gemm_f32::Kernel* f32 = nullptr;  // exactly one of the two is set
  const gemm_i8::Kernel* i8 = nullptr;
  AlignedBuffer<std::byte> weight;
  AlignedBuffer<float> scale;      // i8: [out], padded to 16 like the next
  AlignedBuffer<int32_t> row_sum;  // i8
  std::size_t bytes() const {
    return weight.size() + scale.size() * sizeof(float) + row_sum.size() * sizeof(int32_t);
  }
};

// How the input of an integer product becomes codes (kernels/quantize). Products whose quantizers are equal
// share the codes of one input: Q, K and V.
struct InputQuantizer {
  ActivationScheme scheme;
  float scale = 1, inverse = 1;     // static
  int32_t zero = 0;                 // static
  AlignedBuffer<float> multiplier;  // [in]: 1 / smooth, or empty

  bool operator==(const InputQuantizer& other) const;
  void run(const quantize::Kernel& kernel, quantize::Args args) const;  // fills in what of args is its own
};

// One product y = x W^T (+ bias) with its weights in kernel form.
struct PackedLinear {
  std::shared_ptr<const PackedMatrix> matrix;
  AlignedBuffer<float> bias;  // [out] padded to 16, or empty
  int64_t in = 0, out = 0;
  std::shared_ptr<const InputQuantizer> input;  // how the input becomes codes, when integer()

  bool integer() const { return matrix->i8 != nullptr; }
  int64_t code_rows() const { return (in + 3) / 4 * 4; }  // K4 of kernels/gemm_i8

  // Outputs [n_begin, n_end) of one panel. x: [in][width]; y, residual (or null): [out][width].
  void run(const float* x, const float* residual, float* y, int64_t n_begin, int64_t n_end, int width) const;
  void run(const uint8_t* codes, const float* scale, const int32_t* zero_point, const float* residual,
           float* y, int64_t n_begin, int64_t n_end, int width) const;
};

// Packs weights, one matrix for each distinct tensor: a weight shared by several layers (ALBERT, or
// compression_config.shared) is packed once. Weight-only and 16-bit weights are expanded to FP32, which is
// said once in the log.
class LinearPacker {
 public:
  // One product, or two for a low-rank pair: right [rank, in] without bias, then left [out, rank].
  std::vector<PackedLinear> pack(const Linear& linear);
  std::size_t packed_bytes() const { return packed_bytes_; }

 private:
  std::shared_ptr<const PackedMatrix> pack_f32(const Tensor& weight, const std::vector<float>& values,
                                               int64_t out, int64_t in);
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
