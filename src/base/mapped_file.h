#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace penjing {

// A read-only memory map of a regular file. If the file shrinks under the map, the page fault (SIGBUS) is
// caught: a zero page is mapped there and the mapping is marked poisoned. Readers call check() after they
// have used the bytes (the runtime: after each forward); it throws kIo. No longjmp.
// Thread-safe for reading. Share by shared_ptr: views into the bytes keep the map alive.
class MappedFile {
 public:
  // Throws kIo (missing, unreadable, not a regular file). An empty file maps to an empty span.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  bool poisoned() const;
  void check() const;  // throws kIo when poisoned
  // The same for whoever holds bytes but not the map (a Tensor): throws kIo when `address` lies in a poisoned
  // mapping, does nothing when it lies in none.
  static void check_address(const void* address);

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  int slot_ = -1;  // index in the table that the signal handler reads
};

// Reads a whole file of at most max_bytes into memory; kIo when unreadable, kResource when larger.
std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace penjing
