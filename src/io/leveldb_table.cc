// LevelDB's table format (table_format.md of that project): data blocks, an index block that names them, and
// a footer of 48 bytes: two varint block handles, padding, and a magic number. A block is entries with shared
// key prefixes, then restart offsets and their count; behind it a byte of type (0: not compressed) and the
// masked crc32c of both.
#include <cstring>

#include "base/error.h"
#include "io/crc32c.h"
#include "io/tensor_bundle.h"

namespace penjing {

namespace {

constexpr uint64_t kMagic = 0xdb4775248b80fb57u;
constexpr std::size_t kFooterBytes = 48, kTrailerBytes = 5;
constexpr std::size_t kMaxKeyBytes = 4096;

class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  bool done() const { return at_ == bytes_.size(); }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (done()) break;
      const auto byte = static_cast<uint64_t>(bytes_[at_++]);
      value |= (byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    fail(ErrorKind::kFormat, "{}: a broken variable-length number", name_);
  }
  std::span<const std::byte> take(uint64_t count) {
    if (count > bytes_.size() - at_) {
      fail(ErrorKind::kFormat, "{}: {} bytes wanted where {} are left", name_, count, bytes_.size() - at_);
    }
    const auto part = bytes_.subspan(at_, count);
    at_ += count;
    return part;
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
};

struct Handle {
  uint64_t offset, size;
};

Handle read_handle(Cursor& cursor) {
  const uint64_t offset = cursor.varint();
  return {offset, cursor.varint()};
}

uint32_t read_u32(std::span<const std::byte> bytes, std::size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, 4);
  return value;
}

std::vector<std::pair<std::string, std::string>> read_block(std::span<const std::byte> file, Handle handle,
                                                            const std::string& name) {
  if (handle.size > file.size() || handle.offset > file.size() - handle.size ||
      file.size() - handle.size - handle.offset < kTrailerBytes) {
    fail(ErrorKind::kFormat, "{}: a block of {} bytes at {} lies outside the file of {}", name, handle.size,
         handle.offset, file.size());
  }
  const auto block = file.subspan(handle.offset, handle.size);
  const auto type = file[handle.offset + handle.size];
  const uint32_t stored = read_u32(file, handle.offset + handle.size + 1);
  if (mask_crc(crc32c(file.subspan(handle.offset, handle.size + 1))) != stored) {
    fail(ErrorKind::kFormat, "{}: the block at {} is damaged (its crc32c is wrong)", name, handle.offset);
  }
  if (type != std::byte{0})
    fail(ErrorKind::kUnsupported, "{}: the block at {} is compressed", name, handle.offset);
  if (block.size() < 4) fail(ErrorKind::kFormat, "{}: a block of {} bytes", name, block.size());
  const uint64_t restarts = read_u32(block, block.size() - 4);
  if (restarts > (block.size() - 4) / 4)
    fail(ErrorKind::kFormat, "{}: {} restarts in a block of {} bytes", name, restarts, block.size());
  Cursor cursor(block.first(block.size() - 4 - 4 * restarts), name);
  std::vector<std::pair<std::string, std::string>> entries;
  std::string key;
  while (!cursor.done()) {
    const uint64_t shared = cursor.varint(), fresh = cursor.varint(), value_size = cursor.varint();
    if (shared > key.size() || shared + fresh > kMaxKeyBytes || fresh > kMaxKeyBytes) {
      fail(ErrorKind::kFormat, "{}: a key of {} + {} bytes", name, shared, fresh);
    }
    const auto tail = cursor.take(fresh), value = cursor.take(value_size);
    key.resize(shared);
    key.append(reinterpret_cast<const char*>(tail.data()), tail.size());
    entries.emplace_back(key, std::string(reinterpret_cast<const char*>(value.data()), value.size()));
  }
  return entries;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> read_leveldb_table(std::span<const std::byte> bytes,
                                                                    const std::string& name) {
  if (bytes.size() < kFooterBytes)
    fail(ErrorKind::kFormat, "{}: {} bytes; a table has at least {}", name, bytes.size(), kFooterBytes);
  const auto footer = bytes.last(kFooterBytes);
  uint64_t magic = 0;
  std::memcpy(&magic, footer.data() + kFooterBytes - 8, 8);
  if (magic != kMagic) fail(ErrorKind::kFormat, "{}: not a checkpoint index (wrong magic number)", name);
  Cursor cursor(footer.first(kFooterBytes - 8), name);
  (void)read_handle(cursor);  // the meta index: filters, which TensorFlow does not write
  const auto index = read_block(bytes, read_handle(cursor), name);
  std::vector<std::pair<std::string, std::string>> all;
  std::size_t total = 0;
  for (const auto& [last_key, value] : index) {
    Cursor handle(std::as_bytes(std::span(value)), name);
    auto entries = read_block(bytes, read_handle(handle), name);
    for (auto& entry : entries) {
      // An index that names one block many times would multiply it.
      total += entry.first.size() + entry.second.size() + 64;
      if (total > 64 * bytes.size() + (1 << 20)) fail(ErrorKind::kFormat, "{}: the blocks overlap", name);
      all.push_back(std::move(entry));
    }
  }
  return all;
}

}  // namespace penjing
