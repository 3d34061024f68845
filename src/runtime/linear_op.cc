#include "runtime/linear_op.h"

#include <fmt/format.h>

#include <algorithm>

namespace penjing {

const char* name_of(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::kI8 ? "int8" : arithmetic == Arithmetic::kBf16 ? "bf16" : "fp32";
}

std::string PackedMatrix::kernel_name() const {
  const auto of = [](const char* family, Isa isa) { return fmt::format("{} {}", family, name_of(isa)); };
  if (sparse_f32 != nullptr) return of("spmm_f32", sparse_f32->isa);
  if (sparse_i8 != nullptr) return fmt::format("spmm_i8 {}", sparse_i8->name);
  if (bf16 != nullptr) return of("gemm_bf16", bf16->isa);
  if (nbits != nullptr) return of(fmt::format("gemm_nbits{}", layout.bits).c_str(), nbits->isa);
  return i8 != nullptr ? fmt::format("gemm_i8 {}", i8->name) : of("gemm_f32", f32->isa);
}

bool PackedMatrix::activates() const {
  if (bf16 != nullptr) return true;
  return i8 != nullptr ? i8->activates : sparse_i8 != nullptr && sparse_i8->activates;
}

Arithmetic PackedMatrix::arithmetic() const {
  if (i8 != nullptr || sparse_i8 != nullptr) return Arithmetic::kI8;
  return bf16 != nullptr ? Arithmetic::kBf16 : Arithmetic::kF32;
}

InputFormat PackedMatrix::input_format() const {
  if (i8 != nullptr) return InputFormat::kQuads;
  if (sparse_i8 != nullptr) return InputFormat::kRows;
  return bf16 != nullptr ? InputFormat::kPairs : InputFormat::kFloat;
}

bool InputConverter::operator==(const InputConverter& other) const {
  return format == other.format && scheme == other.scheme && scale == other.scale && zero == other.zero &&
         std::equal(multiplier.begin(), multiplier.end(), other.multiplier.begin(), other.multiplier.end());
}

void InputConverter::run(const quantize::Kernel& kernel, quantize::Args args) const {
  if (format == InputFormat::kPairs) {
    gemm_bf16::select().convert(args.x, args.features, args.width, reinterpret_cast<uint16_t*>(args.codes));
    return;
  }
  const int32_t levels = 1 << scheme.bits;
  args.multiplier = multiplier.data();
  args.rows = format == InputFormat::kRows;
  if (scheme.kind == ActivationScheme::Kind::kStatic) {
    args.fixed_scale = scale;
    args.fixed_inverse = inverse;
    args.fixed_zero = zero;
    args.fixed_lowest = scheme.symmetric ? 1 : 0;
    args.largest = levels - 1;
    kernel.fixed(args);
  } else if (scheme.symmetric) {
    args.largest = levels / 2 - 1;
    kernel.symmetric(args);
  } else {
    args.largest = levels - 1;
    kernel.affine(args);
  }
}

// What the arguments of every family of products have in common.
template <typename Args>
Args PackedLinear::args_of(const Work& work) const {
  Args args{};
  args.w = matrix->weight.data();
  args.bias = bias.data();
  args.residual = work.residual;
  args.y = work.y;
  args.k = in;
  args.n_begin = work.n_begin;
  args.n_end = work.n_end;
  args.width = work.width;
  return args;
}

template <typename Args>
Args PackedLinear::integer_args_of(const ConvertedInput& x, const Work& work) const {
  auto args = args_of<Args>(work);
  args.x = static_cast<const uint8_t*>(x.data);
  args.scale_x = x.scale;
  args.zero_point = x.zero_point;
  args.scale_w = matrix->scale.data();
  args.row_sum = matrix->row_sum.data();
  args.n = out;
  args.activation = work.activation;
  return args;
}

void PackedLinear::run(const float* x, const Work& work) const {
  if (matrix->sparse_f32 != nullptr) {
    auto args = args_of<spmm_f32::Args>(work);
    args.x = x;
    args.n = out;
    matrix->sparse_f32->run(args);
  } else if (matrix->nbits != nullptr) {
    auto args = args_of<gemm_nbits::Args>(work);
    args.x = x;
    args.layout = matrix->layout;
    matrix->nbits->run(args);
  } else {
    auto args = args_of<gemm_f32::Args>(work);
    args.x = x;
    matrix->f32->run(args);
  }
}

void PackedLinear::run(const ConvertedInput& x, const Work& work) const {
  if (matrix->bf16 != nullptr) {
    auto args = args_of<gemm_bf16::Args>(work);
    args.x = static_cast<const uint16_t*>(x.data);
    args.n = out;
    args.activation = work.activation;
    matrix->bf16->run(args);
  } else if (matrix->sparse_i8 != nullptr) {
    matrix->sparse_i8->run(integer_args_of<spmm_i8::Args>(x, work));
  } else {
    matrix->i8->run(integer_args_of<gemm_i8::Args>(x, work));
  }
}

}  // namespace penjing
