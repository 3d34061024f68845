#pragma once

#include <filesystem>
#include <string_view>

namespace penjing {

// One process at a time in a folder: the file "lock" in it, which the system frees when the process ends,
// however it ends. A lock of another process on the same machine or, where the file system has flock(2), on
// another.
class FolderLock {
 public:
  static constexpr const char* kFile = "lock";

  // `folder` must be there. kInput "FOLDER: another process DOES" when another holds it; kIo.
  FolderLock(const std::filesystem::path& folder, std::string_view does);
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  int fd_;
};

bool is_locked(const std::filesystem::path& folder);

}  // namespace penjing
