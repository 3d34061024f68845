#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/linear.h"
#include "model/tensor.h"
#include "runtime/linear_op.h"

namespace penjing {

// Packs weights, one matrix for each distinct tensor: a weight shared by several layers (ALBERT, or
// compression_config.shared) is packed once. FP16 weights, BF16 ones on a CPU without that arithmetic and
// weight-only ones of a layout that no kernel reads are expanded to FP32, which is said once in the log.
class LinearPacker {
 public:
  // stored: what packed_tensors() gave for the same model, or null. Matrices that are there in the form that
  // the kernels of this CPU read are used where they lie.
  explicit LinearPacker(std::shared_ptr<const TensorMap> stored = nullptr) : stored_(std::move(stored)) {}

  // One product, or two for a low-rank pair: right [rank, in] without bias, then left [out, rank].
  std::vector<PackedLinear> pack(const Linear& linear);
  std::size_t packed_bytes() const { return packed_bytes_; }

 private:
  std::shared_ptr<const PackedMatrix> pack_f32(const std::string& name, const Tensor& weight, int64_t out,
                                               int64_t in, const std::function<std::vector<float>()>& values);
  std::shared_ptr<const PackedMatrix> pack_bf16(const Linear& linear);
  std::shared_ptr<const PackedMatrix> pack_i8(const Linear& linear);
  std::shared_ptr<const PackedMatrix> pack_nbits(const Linear& linear, const gemm_nbits::Layout& layout);
  void note_fp32(const Linear& linear);
  bool restore(PackedMatrix& matrix);

  struct Packed {
    const std::byte* key;  // first byte of the weight tensor
    const std::byte* scale_key;
    bool integer;
    std::shared_ptr<const void> owner;  // keeps the bytes alive, so that the key stays unique
    std::shared_ptr<const PackedMatrix> matrix;
  };
  std::shared_ptr<const PackedMatrix> find(const Tensor& weight, const Tensor* scale, bool integer) const;
  std::shared_ptr<const PackedMatrix> remember(const Tensor& weight, const Tensor* scale,
                                               std::shared_ptr<PackedMatrix> matrix);
  std::shared_ptr<const TensorMap> stored_;
  std::vector<Packed> packed_;
  std::size_t packed_bytes_ = 0;
  bool noted_ = false;
};

// Adds a matrix's arrays as tensors: KEY.weight (U8), KEY.facts (F64 [8]: share of zero blocks, outputs,
// inputs) and of integers KEY.scale and KEY.row_sum, with KEY = NAME|KERNEL NAME. All are
// multiples of 64 bytes, as kernels want them aligned.
void add_packed_tensors(const std::shared_ptr<const PackedMatrix>& matrix, TensorMap& tensors);

}  // namespace penjing
