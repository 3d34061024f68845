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

void PackedLinear::run(const float* x, const float* residual, float* y, int64_t n_begin, int64_t n_end,
                       int width) const {
  if (matrix->sparse_f32 != nullptr) {
    matrix->sparse_f32->run({.x = x,
                             .w = matrix->weight.data(),
                             .bias = bias.data(),
                             .residual = residual,
                             .y = y,
                             .k = in,
                             .n = out,
                             .n_begin = n_begin,
                             .n_end = n_end,
                             .width = width});
    return;
  }
  if (matrix->nbits != nullptr) {
    matrix->nbits->run({.x = x,
                        .w = matrix->weight.data(),
                        .layout = matrix->layout,
                        .bias = bias.data(),
                        .residual = residual,
                        .y = y,
                        .k = in,
                        .n_begin = n_begin,
                        .n_end = n_end,
                        .width = width});
    return;
  }
  matrix->f32->run({.x = x,
                    .w = matrix->weight.data(),
                    .bias = bias.data(),
                    .residual = residual,
                    .y = y,
                    .k = in,
                    .n_begin = n_begin,
                    .n_end = n_end,
                    .width = width});
}

void PackedLinear::run(const ConvertedInput& x, const float* residual, float* y, int64_t n_begin,
                       int64_t n_end, int width) const {
  if (matrix->bf16 != nullptr) {
    matrix->bf16->run({.x = static_cast<const uint16_t*>(x.data),
                       .w = matrix->weight.data(),
                       .bias = bias.data(),
                       .residual = residual,
                       .y = y,
                       .k = in,
                       .n_begin = n_begin,
                       .n_end = n_end,
                       .width = width});
  } else if (matrix->sparse_i8 != nullptr) {
    matrix->sparse_i8->run({.x = static_cast<const uint8_t*>(x.data),
                            .scale_x = x.scale,
                            .zero_point = x.zero_point,
                            .w = matrix->weight.data(),
                            .scale_w = matrix->scale.data(),
                            .row_sum = matrix->row_sum.data(),
                            .bias = bias.data(),
                            .residual = residual,
                            .y = y,
                            .k = in,
                            .n = out,
                            .n_begin = n_begin,
                            .n_end = n_end,
                            .width = width});
  } else {
    matrix->i8->run({.x = static_cast<const uint8_t*>(x.data),
                     .scale_x = x.scale,
                     .zero_point = x.zero_point,
                     .w = matrix->weight.data(),
                     .scale_w = matrix->scale.data(),
                     .row_sum = matrix->row_sum.data(),
                     .bias = bias.data(),
                     .residual = residual,
                     .y = y,
                     .k = in,
                     .n_begin = n_begin,
                     .n_end = n_end,
                     .width = width});
  }
}

}  // namespace penjing
