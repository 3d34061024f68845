#include "runtime/linear_packer.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace penjing {

namespace {

// A 7-bit weight: with one of all, products are sometimes faster (gemm_i8).
constexpr int kNarrowWeight = 64;

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

constexpr int64_t kFacts = 8;

std::size_t round_up_64(std::size_t n) {
  return (n + 63) / 64 * 64;
}

// Makes the matrix an owner of the values.
template <typename T>
std::span<const T> keep(PackedMatrix& matrix, AlignedBuffer<T> values) {
  auto owner = std::make_shared<const AlignedBuffer<T>>(std::move(values));
  matrix.owners.push_back(owner);
  return owner->span();
}

template <typename T>
std::span<const T> view(const Tensor& tensor) {
  return {reinterpret_cast<const T*>(tensor.bytes.data()), tensor.bytes.size() / sizeof(T)};
}

std::string stored_key(const PackedMatrix& matrix) {
  return matrix.name + "|" + matrix.kernel_name();
}

bool fits(const PackedMatrix& matrix, std::span<const std::byte> packed) {
  const auto [out, in] = std::pair(matrix.out, matrix.in);
  if (matrix.sparse_f32 != nullptr) return matrix.sparse_f32->valid(packed.data(), packed.size(), out, in);
  if (matrix.sparse_i8 != nullptr) return matrix.sparse_i8->valid(packed.data(), packed.size(), out, in);
  const std::size_t wanted = matrix.bf16 != nullptr    ? matrix.bf16->packed_bytes(out, in)
                             : matrix.i8 != nullptr    ? matrix.i8->packed_bytes(out, in)
                             : matrix.nbits != nullptr ? matrix.nbits->packed_bytes(out, in, matrix.layout)
                                                       : matrix.f32->packed_bytes(out, in);
  return packed.size() == round_up_64(wanted);
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

std::shared_ptr<const PackedMatrix> LinearPacker::remember(const Tensor& weight, const Tensor* scale,
                                                           std::shared_ptr<PackedMatrix> matrix) {
  packed_bytes_ += matrix->bytes();
  packed_.push_back({weight.bytes.data(), scale != nullptr ? scale->bytes.data() : nullptr, scale != nullptr,
                     weight.owner, matrix});
  return matrix;
}

// Fills in the arrays of a matrix whose kernel is chosen, when they are stored for it.
bool LinearPacker::restore(PackedMatrix& matrix) {
  const std::string key = stored_key(matrix);
  const Tensor* weight = stored_ == nullptr ? nullptr : stored_->find(key + ".weight");
  if (weight == nullptr) return false;
  const Tensor* facts = stored_->find(key + ".facts");
  const auto has = [](const Tensor* tensor, DType type, int64_t size) {
    return tensor != nullptr && tensor->type == type && tensor->size() == size &&
           reinterpret_cast<uintptr_t>(tensor->bytes.data()) % 64 == 0;
  };
  if (!has(facts, DType::kF64, kFacts) || !has(weight, DType::kU8, weight->size())) return false;
  const auto* fact = reinterpret_cast<const double*>(facts->bytes.data());
  if (fact[1] != static_cast<double>(matrix.out) || fact[2] != static_cast<double>(matrix.in) ||
      !fits(matrix, weight->bytes))
    return false;
  if (matrix.arithmetic() == Arithmetic::kI8) {
    const Tensor *scale = stored_->find(key + ".scale"), *row_sum = stored_->find(key + ".row_sum");
    if (!has(scale, DType::kF32, round_up_16(matrix.out)) ||
        !has(row_sum, DType::kI32, round_up_16(matrix.out)))
      return false;
    matrix.scale = view<float>(*scale);
    matrix.row_sum = view<int32_t>(*row_sum);
    matrix.owners = {scale->owner, row_sum->owner};
  }
  matrix.weight = weight->bytes;
  matrix.owners.push_back(weight->owner);
  matrix.zero_blocks = fact[0];
  return true;
}

std::shared_ptr<const PackedMatrix> LinearPacker::pack_f32(
    const std::string& name, const Tensor& weight, int64_t out, int64_t in,
    const std::function<std::vector<float>()>& values) {
  auto matrix = std::make_shared<PackedMatrix>();
  matrix->name = name;
  matrix->out = out;
  matrix->in = in;
  matrix->sparse_f32 = &spmm_f32::select();
  matrix->worthwhile = matrix->sparse_f32->worthwhile;
  if (restore(*matrix)) return remember(weight, nullptr, matrix);
  matrix->sparse_f32 = nullptr;
  matrix->f32 = &gemm_f32::select();
  if (restore(*matrix)) return remember(weight, nullptr, matrix);
  const std::vector<float> w = values();
  matrix->zero_blocks = count_zero_blocks(w.data(), out, in);
  AlignedBuffer<std::byte> packed;
  if (const auto& sparse = spmm_f32::select(); matrix->zero_blocks >= matrix->worthwhile) {
    matrix->f32 = nullptr;
    matrix->sparse_f32 = &sparse;
    packed = AlignedBuffer<std::byte>(round_up_64(sparse.packed_bytes(w.data(), out, in)));
    sparse.pack(w.data(), out, in, packed.data());
  } else {
    packed = AlignedBuffer<std::byte>(round_up_64(matrix->f32->packed_bytes(out, in)));
    matrix->f32->pack(w.data(), out, in, packed.data());
  }
  matrix->weight = keep(*matrix, std::move(packed));
  return remember(weight, nullptr, matrix);
}

std::shared_ptr<const PackedMatrix> LinearPacker::pack_bf16(const Linear& linear) {
  const auto [out, in] = std::pair(linear.spec.out, linear.spec.in);
  check_shape(linear.weight, {out, in}, linear.spec.name + ".weight");
  auto matrix = std::make_shared<PackedMatrix>();
  matrix->name = linear.spec.name;
  matrix->out = out;
  matrix->in = in;
  matrix->bf16 = &gemm_bf16::select();
  if (restore(*matrix)) return remember(linear.weight, nullptr, matrix);
  std::vector<uint16_t> values(static_cast<std::size_t>(out * in));
  std::memcpy(values.data(), linear.weight.bytes.data(),
              values.size() * sizeof(uint16_t));  // may be unaligned
  AlignedBuffer<std::byte> packed(round_up_64(matrix->bf16->packed_bytes(out, in)));
  matrix->bf16->pack(values.data(), out, in, packed.data());
  matrix->weight = keep(*matrix, std::move(packed));
  return remember(linear.weight, nullptr, matrix);
}

std::shared_ptr<const PackedMatrix> LinearPacker::pack_i8(const Linear& linear) {
  const auto [out, in] = std::pair(linear.spec.out, linear.spec.in);
  const std::string& name = linear.spec.name;
  check_shape(linear.weight, {out, in}, name + ".weight");
  if (linear.scale.size() != out) {
    fail(ErrorKind::kFormat, "{}.weight_scale: {} values where {} are wanted", name, linear.scale.size(),
         out);
  }
  if (in > gemm_i8::kMostInputs) {
    fail(ErrorKind::kUnsupported, "{}: {} inputs, an integer product takes at most {}", name, in,
         gemm_i8::kMostInputs);
  }
  auto matrix = std::make_shared<PackedMatrix>();
  matrix->name = name;
  matrix->out = out;
  matrix->in = in;
  CodeBounds bounds = {.weight = kNarrowWeight, .code = (1 << linear.activations.bits) - 1};
  for (const int weight : {kNarrowWeight, kAnyCodes.weight}) {
    bounds.weight = weight;
    matrix->sparse_i8 = &spmm_i8::select(bounds);
    matrix->worthwhile = gemm_i8::select(bounds).sparse_from;
    if (restore(*matrix)) return remember(linear.weight, &linear.scale, matrix);
    matrix->sparse_i8 = nullptr;
    matrix->i8 = &gemm_i8::select(bounds);
    if (restore(*matrix)) return remember(linear.weight, &linear.scale, matrix);
  }
  const auto* codes = reinterpret_cast<const int8_t*>(linear.weight.bytes.data());
  AlignedBuffer<int32_t> row_sum(static_cast<std::size_t>(round_up_16(out)));
  int largest = 0;
  for (int64_t n = 0; n < out; ++n) {
    int32_t sum = 0;
    for (int64_t k = 0; k < in; ++k) {
      const int32_t code = codes[n * in + k];
      sum += code;
      largest = std::max(largest, std::abs(code));
    }
    row_sum[static_cast<std::size_t>(n)] = sum;
  }
  bounds.weight = std::max(largest, kNarrowWeight);
  matrix->row_sum = keep(*matrix, std::move(row_sum));
  matrix->scale = keep(*matrix, padded_floats(linear.scale, name + ".weight_scale"));
  matrix->zero_blocks = count_zero_blocks(codes, out, in);
  AlignedBuffer<std::byte> packed;
  matrix->worthwhile = gemm_i8::select(bounds).sparse_from;
  if (const auto& sparse = spmm_i8::select(bounds); matrix->zero_blocks >= matrix->worthwhile) {
    matrix->i8 = nullptr;
    matrix->sparse_i8 = &sparse;
    packed = AlignedBuffer<std::byte>(round_up_64(sparse.packed_bytes(codes, out, in)));
    sparse.pack(codes, out, in, packed.data());
  } else {
    matrix->i8 = &gemm_i8::select(bounds);
    packed = AlignedBuffer<std::byte>(round_up_64(matrix->i8->packed_bytes(out, in)));
    matrix->i8->pack(codes, out, in, packed.data());
  }
  matrix->weight = keep(*matrix, std::move(packed));
  return remember(linear.weight, &linear.scale, matrix);
}

// The layout in which weight-only weights can be multiplied as they are; bits 0: there is none.
gemm_nbits::Layout nbits_layout(const Linear& linear) {
  const int64_t groups = linear.scale.shape.size() == 2 ? linear.scale.shape[1] : 1;
  const gemm_nbits::Layout none = {.bits = 0};
  if (linear.weight.type != DType::kI8 || !linear.smooth.bytes.empty() || groups <= 0 ||
      linear.spec.in % groups != 0 || linear.scale.size() != groups * linear.spec.out)
    return none;
  const int64_t group = linear.spec.in / groups;
  if (groups > 1 && group % 4 != 0) return none;
  const auto codes =
      std::span(reinterpret_cast<const int8_t*>(linear.weight.bytes.data()), linear.weight.bytes.size());
  const bool narrow =
      std::all_of(codes.begin(), codes.end(), [](int8_t code) { return code >= -8 && code <= 7; });
  return {.bits = narrow ? 4 : 8, .group = group};
}

std::shared_ptr<const PackedMatrix> LinearPacker::pack_nbits(const Linear& linear,
                                                             const gemm_nbits::Layout& layout) {
  const auto [out, in] = std::pair(linear.spec.out, linear.spec.in);
  check_shape(linear.weight, {out, in}, linear.spec.name + ".weight");
  auto matrix = std::make_shared<PackedMatrix>();
  matrix->name = linear.spec.name;
  matrix->out = out;
  matrix->in = in;
  matrix->layout = layout;
  matrix->nbits = &gemm_nbits::select();
  if (restore(*matrix)) return remember(linear.weight, nullptr, matrix);
  const auto* codes = reinterpret_cast<const int8_t*>(linear.weight.bytes.data());
  const std::vector<float> scales = read_floats(linear.scale, linear.spec.name + ".weight_scale");
  matrix->zero_blocks = count_zero_blocks(codes, out, in);
  AlignedBuffer<std::byte> packed(round_up_64(matrix->nbits->packed_bytes(out, in, layout)));
  matrix->nbits->pack(codes, scales.data(), out, in, layout, packed.data());
  matrix->weight = keep(*matrix, std::move(packed));
  return remember(linear.weight, nullptr, matrix);
}

void LinearPacker::note_fp32(const Linear& linear) {
  const bool weight_only = linear.kind == LinearKind::kQuantized;
  const bool narrow = linear.kind == LinearKind::kDense && linear.weight.type != DType::kF32;
  if (noted_ || (!weight_only && !narrow)) return;
  noted_ = true;
  log_info("{}: {} weights are multiplied in FP32 (so are others of their kind)", linear.spec.name,
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
    const auto read = [&spec](const Tensor& factor) {
      return [&spec, &factor] { return read_floats(factor, spec.name); };
    };
    if (!right) right = pack_f32(spec.name + ".right", linear.right, rank, spec.in, read(linear.right));
    if (!left) left = pack_f32(spec.name + ".left", linear.left, spec.out, rank, read(linear.left));
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
      note_fp32(linear);
      product.matrix = find(linear.weight, nullptr, false);
      gemm_nbits::Layout layout = {.bits = 0};
      if (!product.matrix && linear.kind == LinearKind::kQuantized) layout = nbits_layout(linear);
      if (layout.bits != 0) product.matrix = pack_nbits(linear, layout);
      if (!product.matrix) {
        product.matrix = pack_f32(spec.name, linear.weight, spec.out, spec.in, [&] {
          std::vector<float> values = dense_weight(linear);
          if (static_cast<int64_t>(values.size()) != spec.out * spec.in) {
            fail(ErrorKind::kFormat, "{}.weight: {} values where {} are wanted", spec.name, values.size(),
                 spec.out * spec.in);
          }
          return values;
        });
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

void add_packed_tensors(const std::shared_ptr<const PackedMatrix>& matrix, TensorMap& tensors) {
  const std::string key = stored_key(*matrix);
  if (tensors.find(key + ".weight") != nullptr) return;
  const auto add = [&](const char* what, DType type, std::span<const std::byte> bytes, int64_t size) {
    tensors.set(key + what, Tensor{type, {size}, bytes, matrix});
  };
  add(".weight", DType::kU8, matrix->weight, static_cast<int64_t>(matrix->weight.size()));
  if (matrix->arithmetic() == Arithmetic::kI8) {
    add(".scale", DType::kF32, std::as_bytes(matrix->scale), static_cast<int64_t>(matrix->scale.size()));
    add(".row_sum", DType::kI32, std::as_bytes(matrix->row_sum),
        static_cast<int64_t>(matrix->row_sum.size()));
  }
  const double facts[kFacts] = {matrix->zero_blocks, static_cast<double>(matrix->out),
                                static_cast<double>(matrix->in)};
  const auto bytes = std::as_bytes(std::span(facts));
  tensors.set(key + ".facts", Tensor::from_bytes(DType::kF64, {kFacts}, {bytes.begin(), bytes.end()}));
}

}  // namespace penjing
