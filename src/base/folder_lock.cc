#include "base/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace penjing {

FolderLock::FolderLock(const std::filesystem::path& folder, std::string_view does) {
  const auto file = folder / kFile;
  fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) fail(ErrorKind::kIo, "{}: cannot create: {}", file.string(), std::strerror(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  const int reason = errno;
  ::close(fd_);
  if (reason == EWOULDBLOCK) fail(ErrorKind::kInput, "{}: another process {}", folder.string(), does);
  fail(ErrorKind::kIo, "{}: cannot lock: {}", file.string(), std::strerror(reason));
}

FolderLock::FolderLock(FolderLock&& other) noexcept : fd_(other.fd_) {
  other.fd_ = -1;
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) ::close(fd_);
}

bool is_locked(const std::filesystem::path& folder) {
  const int fd = ::open((folder / FolderLock::kFile).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool taken = ::flock(fd, LOCK_SH | LOCK_NB) != 0;
  ::close(fd);
  return taken;
}

}  // namespace penjing
