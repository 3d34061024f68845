#include "runtime/linear_op.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/log.h"

namespace penjing {
namespace {

// Sums of 255 * 128 * K stay below 2^31; -128 occurs in checkpoints from elsewhere.
constexpr int64_t kMaxIntegerInputs = 65792;

int64_t round_up_16(int64_t n) {
  return (n + 15) / 16 * 16;
}

// Vectors that go with the outputs are padded, so that a kernel may read whole registers of them.
AlignedBuffer<float> padded_floats(const Tensor& tensor, const std::string& name) {
  const int64_t size = tensor.size();
  AlignedBuffer<float> values(static_cast<std::size_t>(round_up_16(size)));
  read_floats(tensor, 0, values.span().first(static_cast<std::size_t>(size)), name);
  return values;
}

void check_shape(const Tensor& tensor, const Shape& wanted, const std::string& name) {
  if (tensor.shape != wanted) {
    fail(ErrorKind::kFormat, "{}: shape {} where {} is wanted", name, to_string(tensor.shape),
         to_string(wanted));
  }
}

// Share of blocks of 4 consecutive outputs x 1 input that are zero. w: [out, in]
template <typename Weight>
double count_zero_blocks(const Weight* w, int64_t out, int64_t in) {
  if (out * in == 0) return 0;
  std::vector<char> any(static_cast<std::size_t>(in));
  int64_t zeros = 0, blocks = 0;
  for (int64_t group = 0; group < out; group += 4) {
    std::fill(any.begin(), any.end(), 0);
    for (int64_t o = group; o < std::min(out, group + 4); ++o) {
      for (int64_t i = 0; i < in; ++i) any[static_cast<std::size_t>(i)] |= w[o * in + i] != 0;
    }
    zeros += std::count(any.begin(), any.end(), 0);
    blocks += in;
  }
  return static_cast<double>(zeros) / static_cast<double>(blocks);
}

std::shared_ptr<const InputConverter> make_input_converter(const Linear& linear, InputFormat format) {
  auto input = std::make_shared<InputConverter>();
  input->format = format;
  input->scheme = linear.activations;
  if (linear.activations.kind == ActivationScheme::Kind::kStatic) {
    input->scale = linear.input_scale;
    input->inverse = 1 / linear.input_scale;
    input->zero = linear.input_zero;
  }
  if (!linear.smooth.bytes.empty()) {
    input->multiplier = padded_floats(linear.smooth, linear.spec.name + ".smooth");
    for (float& value : input->multiplier) value = value == 0 ? 0 : 1 / value;  // 0: the padding
  }
  return input;
}

}  // namespace

const char* name_of(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::kI8 ? "int8" : arithmetic == Arithmetic::kBf16 ? "bf16" : "fp32";
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

std::shared_ptr<const PackedMatrix> LinearPacker::find(const Tensor& weight, const Tensor* scale,
                                                       bool integer) const {
  for (const Packed& packed : packed_) {
    if (packed.key == weight.bytes.data() && packed.integer == integer &&
        packed.scale_key == (scale != nullptr ? scale->bytes.data() : nullptr)) {
      return packed.matrix;
    }
  }
  return nullptr;
}

std::shared_ptr<const PackedMatrix> LinearPacker::pack_f32(const Tensor& weight,
                                                           const std::vector<float>& values, int64_t out,
                                                           int64_t in) {
  auto matrix = std::make_shared<PackedMatrix>();
  matrix->zero_blocks = count_zero_blocks(values.data(), out, in);
  if (const auto& sparse = spmm_f32::select(); matrix->zero_blocks >= sparse.worthwhile) {
    matrix->sparse_f32 = &sparse;
    matrix->weight = AlignedBuffer<std::byte>(sparse.packed_bytes(values.data(), out, in));
    sparse.pack(values.data(), out, in, matrix->weight.data());
  } else {
    matrix->f32 = &gemm_f32::select();
    matrix->weight = AlignedBuffer<std::byte>(matrix->f32->packed_bytes(out, in));
    matrix->f32->pack(values.data(), out, in, matrix->weight.data());
  }
  packed_bytes_ += matrix->bytes();
  packed_.push_back({weight.bytes.data(), nullptr, false, weight.owner, matrix});
  return matrix;
}

std::shared_ptr<const PackedMatrix> LinearPacker::pack_bf16(const Linear& linear) {
  const auto [out, in] = std::pair(linear.spec.out, linear.spec.in);
  check_shape(linear.weight, {out, in}, linear.spec.name + ".weight");
  auto matrix = std::make_shared<PackedMatrix>();
  std::vector<uint16_t> values(static_cast<std::size_t>(out * in));
  std::memcpy(values.data(), linear.weight.bytes.data(),
              values.size() * sizeof(uint16_t));  // may be unaligned
  matrix->bf16 = &gemm_bf16::select();
  matrix->weight = AlignedBuffer<std::byte>(matrix->bf16->packed_bytes(out, in));
  matrix->bf16->pack(values.data(), out, in, matrix->weight.data());
  packed_bytes_ += matrix->bytes();
  packed_.push_back({linear.weight.bytes.data(), nullptr, false, linear.weight.owner, matrix});
  return matrix;
}

std::shared_ptr<const PackedMatrix> LinearPacker::pack_i8(const Linear& linear) {
  const auto [out, in] = std::pair(linear.spec.out, linear.spec.in);
  const std::string& name = linear.spec.name;
  check_shape(linear.weight, {out, in}, name + ".weight");
  if (linear.scale.size() != out) {
    fail(ErrorKind::kFormat, "{}.weight_scale: {} values where {} are wanted", name, linear.scale.size(),
         out);
  }
  if (in > kMaxIntegerInputs) {
    fail(ErrorKind::kUnsupported, "{}: {} inputs, an integer product takes at most {}", name, in,
         kMaxIntegerInputs);
  }
  auto matrix = std::make_shared<PackedMatrix>();
  const auto* codes = reinterpret_cast<const int8_t*>(linear.weight.bytes.data());
  matrix->row_sum = AlignedBuffer<int32_t>(static_cast<std::size_t>(round_up_16(out)));
  for (int64_t n = 0; n < out; ++n) {
    int32_t sum = 0;
    for (int64_t k = 0; k < in; ++k) {
      sum += codes[n * in + k];
    }
    matrix->row_sum[static_cast<std::size_t>(n)] = sum;
  }
  matrix->zero_blocks = count_zero_blocks(codes, out, in);
  if (const auto& sparse = spmm_i8::select(); matrix->zero_blocks >= sparse.worthwhile) {
    matrix->sparse_i8 = &sparse;
    matrix->weight = AlignedBuffer<std::byte>(sparse.packed_bytes(codes, out, in));
    sparse.pack(codes, out, in, matrix->weight.data());
  } else {
    matrix->i8 = &gemm_i8::select();
    matrix->weight = AlignedBuffer<std::byte>(matrix->i8->packed_bytes(out, in));
    matrix->i8->pack(codes, out, in, matrix->weight.data());
  }
  matrix->scale = padded_floats(linear.scale, name + ".weight_scale");
  packed_bytes_ += matrix->bytes();
  packed_.push_back(
      {linear.weight.bytes.data(), linear.scale.bytes.data(), true, linear.weight.owner, matrix});
  return matrix;
}

void LinearPacker::note_expansion(const Linear& linear) {
  const bool weight_only = linear.kind == LinearKind::kQuantized;
  const bool narrow = linear.kind == LinearKind::kDense && linear.weight.type != DType::kF32;
  if (noted_ || (!weight_only && !narrow)) return;
  noted_ = true;
  log_info("{}: {} weights are expanded and computed in FP32 (so are others of their kind)", linear.spec.name,
           weight_only ? "weight-only quantized" : name_of(linear.weight.type));
}

std::vector<PackedLinear> LinearPacker::pack(const Linear& linear) {
  const LinearSpec& spec = linear.spec;
  std::vector<PackedLinear> products;
  if (linear.kind == LinearKind::kLowRank) {
    if (linear.left.shape.size() != 2 || linear.right.shape.size() != 2) {
      fail(ErrorKind::kFormat, "{}: low-rank factors of shapes {} and {}", spec.name,
           to_string(linear.left.shape), to_string(linear.right.shape));
    }
    const int64_t rank = linear.left.shape[1];
    check_shape(linear.left, {spec.out, rank}, spec.name + ".weight_left");
    check_shape(linear.right, {rank, spec.in}, spec.name + ".weight_right");
    auto right = find(linear.right, nullptr, false);
    auto left = find(linear.left, nullptr, false);
    if (!right) right = pack_f32(linear.right, read_floats(linear.right, spec.name), rank, spec.in);
    if (!left) left = pack_f32(linear.left, read_floats(linear.left, spec.name), spec.out, rank);
    products.resize(2);
    products[0].matrix = right;
    products[0].in = spec.in;
    products[0].out = products[1].in = rank;
    products[1].matrix = left;
  } else {
    products.resize(1);
    PackedLinear& product = products[0];
    product.in = spec.in;
    if (linear.kind == LinearKind::kQuantized && linear.activations.kind != ActivationScheme::Kind::kNone) {
      product.matrix = find(linear.weight, &linear.scale, true);
      if (!product.matrix) product.matrix = pack_i8(linear);
      product.input = make_input_converter(linear, product.matrix->input_format());
    } else if (linear.kind == LinearKind::kDense && linear.weight.type == DType::kBF16 &&
               gemm_bf16::select().isa != Isa::kRef) {
      product.matrix = find(linear.weight, nullptr, false);
      if (!product.matrix) product.matrix = pack_bf16(linear);
      auto pairs = std::make_shared<InputConverter>();
      pairs->format = InputFormat::kPairs;
      product.input = pairs;
    } else {
      note_expansion(linear);
      product.matrix = find(linear.weight, nullptr, false);
      if (!product.matrix) {
        const std::vector<float> values = dense_weight(linear);
        if (static_cast<int64_t>(values.size()) != spec.out * spec.in) {
          fail(ErrorKind::kFormat, "{}.weight: {} values where {} are wanted", spec.name, values.size(),
               spec.out * spec.in);
        }
        product.matrix = pack_f32(linear.weight, values, spec.out, spec.in);
      }
    }
  }
  products.back().out = spec.out;
  if (linear.has_bias) {
    check_shape(linear.bias, {spec.out}, spec.name + ".bias");
    products.back().bias = padded_floats(linear.bias, spec.name + ".bias");
    packed_bytes_ += products.back().bias.size() * sizeof(float);
  }
  return products;
}

}  // namespace penjing
