#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penjing {

// Element types of safetensors, all of them, so that `inspect` can name any file's content.
enum class DType {
  kBool,
  kU8,
  kI8,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kI64,
  kU64,
  kF64,
  kC64,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kF6E2M3,
  kF6E3M2,
  kF4,
};

int bits_of(DType type);          // 8 for kU8, 6 for kF6E2M3, ...
const char* name_of(DType type);  // "F32", "F8_E4M3", ... as in safetensors
bool parse_dtype(std::string_view name, DType& type);
bool is_computable(DType type);  // BOOL/I*/U*/F16/BF16/F32/F64: convertible to float by read_floats

using Shape = std::vector<int64_t>;
// Product of the dimensions; 1 for rank 0; throws kFormat when negative or beyond 2^62.
int64_t element_count(const Shape& shape);
std::string to_string(const Shape& shape);  // "[30522, 384]"

// A view of a tensor's row-major, little-endian bytes, with shared ownership of what holds them (a mapped
// file or a buffer). Cheap to copy.
struct Tensor {
  DType type = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;

  int64_t size() const { return element_count(shape); }

  // A tensor that owns a copy of `values`.
  static Tensor from_floats(Shape shape, std::span<const float> values);
  static Tensor from_bytes(DType type, Shape shape, std::vector<std::byte> bytes);
};

// Converts elements [begin, begin+out.size()) to float. Throws kUnsupported, naming `name`, for types that
// are not computable.
void read_floats(const Tensor& tensor, int64_t begin, std::span<float> out, std::string_view name);
std::vector<float> read_floats(const Tensor& tensor, std::string_view name);

// Name -> tensor, in the order of insertion; lookup by hash.
class TensorMap {
 public:
  struct Entry {
    std::string name;
    Tensor tensor;
  };
  const Tensor* find(std::string_view name) const;
  const Tensor& at(std::string_view name) const;  // throws kFormat "missing tensor NAME"
  void set(std::string name, Tensor tensor);      // replaces or appends
  bool erase(std::string_view name);
  std::size_t size() const { return entries_.size(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

 private:
  void rebuild();
  std::vector<Entry> entries_;
  std::vector<uint32_t> index_;  // open addressing over entries_, empty = UINT32_MAX
};

}  // namespace penjing
