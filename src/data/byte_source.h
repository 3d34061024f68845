#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace penjing {

// The content of a file from its beginning, decompressed where its name ends in ".xz" (liblzma) or ".gz"
// (zlib); several compressed streams one after the other are one content.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Bytes put into `out`; 0 at the end. kIo for what cannot be read, kFormat for damaged or cut compressed
  // data, kResource for .xz data that want more than 256 MiB to be decompressed.
  virtual std::size_t read(std::span<char> out) = 0;
  // Leaves out the next bytes: a seek in a plain file, else decompressed and dropped. kFormat when the file
  // ends before.
  virtual void skip(uint64_t bytes) = 0;
};

// "-" is standard input. kIo when the file cannot be opened; kUnsupported, naming the kinds there are, for
// ".zst", ".bz2", ".zip", ".lz4", ".7z".
std::unique_ptr<ByteSource> open_bytes(const std::filesystem::path& path);

// The name without ".xz" or ".gz": what the content is called.
std::filesystem::path content_name(const std::filesystem::path& path);
bool is_compressed(const std::filesystem::path& path);

}  // namespace penjing
