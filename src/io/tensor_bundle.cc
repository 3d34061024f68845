#include "io/tensor_bundle.h"

#include <cstring>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/mapped_file.h"
#include "io/crc32c.h"

namespace penjing {

namespace {

constexpr std::size_t kMaxIndexBytes = 64u << 20;

// A protobuf message, field by field: varint, 64-bit, length-delimited and 32-bit wire types; groups are
// refused.
class ProtoReader {
 public:
  ProtoReader(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  int field = 0, wire = 0;
  uint64_t number = 0;    // wire 0, 1, 5
  std::string_view text;  // wire 2

  bool next() {
    if (bytes_.empty()) return false;
    const uint64_t key = varint();
    field = static_cast<int>(key >> 3 & 0x1fffffff);
    wire = static_cast<int>(key & 7);
    switch (wire) {
      case 0:
        number = varint();
        break;
      case 1:
        number = fixed(8);
        break;
      case 2: {
        const uint64_t size = varint();
        if (size > bytes_.size())
          fail(ErrorKind::kFormat, "{}: a field of {} bytes where {} are left", name_, size, bytes_.size());
        text = bytes_.substr(0, size);
        bytes_.remove_prefix(size);
        break;
      }
      case 5:
        number = fixed(4);
        break;
      default:
        fail(ErrorKind::kFormat, "{}: protobuf wire type {}", name_, wire);
    }
    return true;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    fail(ErrorKind::kFormat, "{}: a broken variable-length number", name_);
  }
  uint64_t fixed(std::size_t size) {
    if (bytes_.size() < size) fail(ErrorKind::kFormat, "{}: cut short", name_);
    uint64_t value = 0;
    std::memcpy(&value, bytes_.data(), size);
    bytes_.remove_prefix(size);
    return value;
  }
  std::string_view bytes_;
  const std::string& name_;
};

// BundleEntryProto: 1 dtype, 2 shape {2 dim {1 size}}, 3 shard, 4 offset, 5 size, 6 masked crc32c, 7 slices.
struct Entry {
  int64_t dtype = 0, shard = 0;
  Shape shape;
  uint64_t offset = 0, size = 0;
  uint32_t crc = 0;
  bool sliced = false;
};

Shape read_shape(std::string_view bytes, const std::string& name) {
  Shape shape;
  ProtoReader reader(bytes, name);
  while (reader.next()) {
    if (reader.field != 2 || reader.wire != 2) continue;
    int64_t size = 0;
    ProtoReader dimension(reader.text, name);
    while (dimension.next()) {
      if (dimension.field == 1 && dimension.wire == 0) size = static_cast<int64_t>(dimension.number);
    }
    if (size < 0 || shape.size() == 64) fail(ErrorKind::kFormat, "{}: dimension {}", name, size);
    shape.push_back(size);
  }
  return shape;
}

Entry read_entry(std::string_view bytes, const std::string& name) {
  Entry entry;
  ProtoReader reader(bytes, name);
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        entry.dtype = static_cast<int64_t>(reader.number);
        break;
      case 2:
        entry.shape = read_shape(reader.wire == 2 ? reader.text : "", name);
        break;
      case 3:
        entry.shard = static_cast<int64_t>(reader.number);
        break;
      case 4:
        entry.offset = reader.number;
        break;
      case 5:
        entry.size = reader.number;
        break;
      case 6:
        entry.crc = static_cast<uint32_t>(reader.number);
        break;
      case 7:
        entry.sliced = true;
        break;
      default:
        break;
    }
  }
  return entry;
}

// TensorFlow's DataType numbers.
std::optional<DType> dtype_of(int64_t number) {
  switch (number) {
    case 1:
      return DType::kF32;
    case 2:
      return DType::kF64;
    case 3:
      return DType::kI32;
    case 4:
      return DType::kU8;
    case 6:
      return DType::kI8;
    case 9:
      return DType::kI64;
    case 10:
      return DType::kBool;
    case 14:
      return DType::kBF16;
    case 19:
      return DType::kF16;
    default:
      return std::nullopt;
  }
}

}  // namespace

TensorBundle read_tensor_bundle(const std::filesystem::path& prefix) {
  const std::string index_path = prefix.string() + ".index";
  const std::string index = read_text_file(index_path, kMaxIndexBytes);
  const auto pairs = read_leveldb_table(std::as_bytes(std::span(index)), index_path);
  if (pairs.empty() || !pairs.front().first.empty()) {
    fail(ErrorKind::kFormat, "{}: the header entry is missing", index_path);
  }
  int64_t num_shards = 0;
  ProtoReader header(pairs.front().second, index_path);
  while (header.next()) {
    if (header.field == 1 && header.wire == 0) num_shards = static_cast<int64_t>(header.number);
    if (header.field == 2 && header.number != 0)
      fail(ErrorKind::kUnsupported, "{}: a big-endian checkpoint", index_path);
  }
  if (num_shards < 1 || num_shards > 100000)
    fail(ErrorKind::kFormat, "{}: {} shards", index_path, num_shards);

  TensorBundle bundle;
  std::map<int64_t, std::shared_ptr<const MappedFile>> shards;
  for (std::size_t i = 1; i < pairs.size(); ++i) {
    const auto& [key, value] = pairs[i];
    const std::string name = fmt::format("{}: tensor {}", index_path, key);
    const Entry entry = read_entry(value, name);
    const auto type = dtype_of(entry.dtype);
    if (!type || entry.sliced) {
      bundle.skipped.push_back(key);
      continue;
    }
    if (entry.shard < 0 || entry.shard >= num_shards)
      fail(ErrorKind::kFormat, "{}: shard {} of {}", name, entry.shard, num_shards);
    auto& shard = shards[entry.shard];
    if (shard == nullptr) {
      shard =
          MappedFile::open(fmt::format("{}.data-{:05d}-of-{:05d}", prefix.string(), entry.shard, num_shards));
    }
    const auto data = shard->bytes();
    if (entry.size > data.size() || entry.offset > data.size() - entry.size) {
      fail(ErrorKind::kFormat, "{}: bytes [{}, +{}) beyond the {} bytes of {}", name, entry.offset,
           entry.size, data.size(), shard->path().string());
    }
    if (element_count(entry.shape) > (int64_t{1} << 58) ||
        static_cast<uint64_t>(element_count(entry.shape)) * static_cast<uint64_t>(bits_of(*type)) !=
            entry.size * 8) {
      fail(ErrorKind::kFormat, "{}: {} of shape {} cannot have {} bytes", name, name_of(*type),
           to_string(entry.shape), entry.size);
    }
    Tensor tensor;
    tensor.type = *type;
    tensor.shape = entry.shape;
    tensor.bytes = data.subspan(entry.offset, entry.size);
    tensor.owner = shard;
    const bool damaged = mask_crc(crc32c(tensor.bytes)) != entry.crc;
    shard->check();
    if (damaged) fail(ErrorKind::kFormat, "{}: its data is damaged (the crc32c is wrong)", name);
    bundle.tensors.set(key, std::move(tensor));
  }
  return bundle;
}

}  // namespace penjing
