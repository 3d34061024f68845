#include "model/tensor.h"

#include <cstring>
#include <functional>

#include "base/error.h"
#include "numerics/float16.h"

namespace penjing {

namespace {

struct DTypeInfo {
  DType type;
  const char* name;
  int bits;
  bool computable;
};

constexpr DTypeInfo kDTypes[] = {
    {DType::kBool, "BOOL", 8, true},
    {DType::kU8, "U8", 8, true},
    {DType::kI8, "I8", 8, true},
    {DType::kI16, "I16", 16, true},
    {DType::kU16, "U16", 16, true},
    {DType::kF16, "F16", 16, true},
    {DType::kBF16, "BF16", 16, true},
    {DType::kI32, "I32", 32, true},
    {DType::kU32, "U32", 32, true},
    {DType::kF32, "F32", 32, true},
    {DType::kI64, "I64", 64, true},
    {DType::kU64, "U64", 64, true},
    {DType::kF64, "F64", 64, true},
    {DType::kC64, "C64", 64, false},
    {DType::kF8E4M3, "F8_E4M3", 8, false},
    {DType::kF8E5M2, "F8_E5M2", 8, false},
    {DType::kF8E8M0, "F8_E8M0", 8, false},
    {DType::kF8E4M3Fnuz, "F8_E4M3FNUZ", 8, false},
    {DType::kF8E5M2Fnuz, "F8_E5M2FNUZ", 8, false},
    {DType::kF6E2M3, "F6_E2M3", 6, false},
    {DType::kF6E3M2, "F6_E3M2", 6, false},
    {DType::kF4, "F4", 4, false},
};

const DTypeInfo& info(DType type) {
  for (const DTypeInfo& entry : kDTypes) {
    if (entry.type == type) return entry;
  }
  fail(ErrorKind::kInternal, "unknown element type {}", static_cast<int>(type));
}

// memcpy, because safetensors promises no alignment of the element type.
template <typename T, typename Convert>
void convert(const std::byte* from, std::span<float> out, Convert to_float) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof(T));
    out[i] = to_float(value);
  }
}

template <typename T>
void convert_plain(const std::byte* from, std::span<float> out) {
  convert<T>(from, out, [](T value) { return static_cast<float>(value); });
}

}  // namespace

int bits_of(DType type) {
  return info(type).bits;
}
const char* name_of(DType type) {
  return info(type).name;
}
bool is_computable(DType type) {
  return info(type).computable;
}

bool parse_dtype(std::string_view name, DType& type) {
  for (const DTypeInfo& entry : kDTypes) {
    if (name == entry.name) return type = entry.type, true;
  }
  return false;
}

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size < 0) fail(ErrorKind::kFormat, "shape {} has a negative dimension", to_string(shape));
    if (__builtin_mul_overflow(count, size, &count) || count > (int64_t{1} << 62)) {
      fail(ErrorKind::kFormat, "shape {} has more than 2^62 elements", to_string(shape));
    }
  }
  return count;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size() && i < 16; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() > 16 ? ", ...]" : "]");
}

Tensor Tensor::from_bytes(DType type, Shape shape, std::vector<std::byte> bytes) {
  auto owner = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  Tensor tensor;
  tensor.type = type;
  tensor.shape = std::move(shape);
  tensor.bytes = *owner;
  tensor.owner = std::move(owner);
  if (tensor.size() * bits_of(type) != static_cast<int64_t>(tensor.bytes.size()) * 8) {
    fail(ErrorKind::kInternal, "a {} tensor of shape {} cannot have {} bytes", name_of(type),
         to_string(tensor.shape), tensor.bytes.size());
  }
  return tensor;
}

Tensor Tensor::from_floats(Shape shape, std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  return from_bytes(DType::kF32, std::move(shape), {bytes.begin(), bytes.end()});
}

void read_floats(const Tensor& tensor, int64_t begin, std::span<float> out, std::string_view name) {
  const int64_t count = tensor.size();
  if (begin < 0 || begin > count || static_cast<int64_t>(out.size()) > count - begin) {
    fail(ErrorKind::kInternal, "{}: elements [{}, {}) of {}", name, begin,
         begin + static_cast<int64_t>(out.size()), count);
  }
  if (!is_computable(tensor.type)) {
    fail(ErrorKind::kUnsupported, "{}: element type {} cannot be computed with", name, name_of(tensor.type));
  }
  const std::byte* from = tensor.bytes.data() + begin * (bits_of(tensor.type) / 8);
  switch (tensor.type) {
    case DType::kF32:
      std::memcpy(out.data(), from, out.size_bytes());
      break;
    case DType::kF16:
      convert<uint16_t>(from, out, half_to_float);
      break;
    case DType::kBF16:
      convert<uint16_t>(from, out, bfloat16_to_float);
      break;
    case DType::kF64:
      convert_plain<double>(from, out);
      break;
    case DType::kI8:
      convert_plain<int8_t>(from, out);
      break;
    case DType::kI16:
      convert_plain<int16_t>(from, out);
      break;
    case DType::kI32:
      convert_plain<int32_t>(from, out);
      break;
    case DType::kI64:
      convert_plain<int64_t>(from, out);
      break;
    case DType::kBool:
    case DType::kU8:
      convert_plain<uint8_t>(from, out);
      break;
    case DType::kU16:
      convert_plain<uint16_t>(from, out);
      break;
    case DType::kU32:
      convert_plain<uint32_t>(from, out);
      break;
    case DType::kU64:
      convert_plain<uint64_t>(from, out);
      break;
    default:
      fail(ErrorKind::kInternal, "{}: no conversion from {}", name, name_of(tensor.type));
  }
}

std::vector<float> read_floats(const Tensor& tensor, std::string_view name) {
  std::vector<float> values(static_cast<std::size_t>(tensor.size()));
  read_floats(tensor, 0, values, name);
  return values;
}

// The index is open addressing with linear probing over a power of two, at most half full.
namespace {
constexpr uint32_t kEmpty = UINT32_MAX;
std::size_t hash_of(std::string_view name) {
  return std::hash<std::string_view>{}(name);
}
}  // namespace

const Tensor* TensorMap::find(std::string_view name) const {
  if (index_.empty()) return nullptr;
  const std::size_t mask = index_.size() - 1;
  for (std::size_t slot = hash_of(name) & mask; index_[slot] != kEmpty; slot = (slot + 1) & mask) {
    if (entries_[index_[slot]].name == name) return &entries_[index_[slot]].tensor;
  }
  return nullptr;
}

const Tensor& TensorMap::at(std::string_view name) const {
  if (const Tensor* tensor = find(name)) return *tensor;
  fail(ErrorKind::kFormat, "missing tensor {}", name);
}

void TensorMap::rebuild() {
  std::size_t size = 16;
  while (size < entries_.size() * 2 + 2) size *= 2;
  index_.assign(size, kEmpty);
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    std::size_t slot = hash_of(entries_[i].name) & (size - 1);
    while (index_[slot] != kEmpty) slot = (slot + 1) & (size - 1);
    index_[slot] = i;
  }
}

void TensorMap::set(std::string name, Tensor tensor) {
  if (const Tensor* existing = find(name)) {
    const_cast<Tensor&>(*existing) = std::move(tensor);
    return;
  }
  entries_.push_back({std::move(name), std::move(tensor)});
  if (index_.empty() || entries_.size() * 2 > index_.size()) return rebuild();
  std::size_t slot = hash_of(entries_.back().name) & (index_.size() - 1);
  while (index_[slot] != kEmpty) slot = (slot + 1) & (index_.size() - 1);
  index_[slot] = static_cast<uint32_t>(entries_.size() - 1);
}

bool TensorMap::erase(std::string_view name) {
  const auto removed = std::erase_if(entries_, [&](const Entry& entry) { return entry.name == name; });
  if (removed > 0) rebuild();
  return removed > 0;
}

}  // namespace penjing
