#include "base/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/error.h"

namespace penjing {

namespace {

constexpr std::size_t kBufferBytes = 1 << 20;

std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  static std::atomic<int> counter{0};
  std::filesystem::path result = path;
  result += fmt::format(".tmp-{}-{}", ::getpid(), counter.fetch_add(1));
  return result;
}

[[noreturn]] void fail_errno(const std::filesystem::path& path, const char* action, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  fail(full ? ErrorKind::kResource : ErrorKind::kIo, "{}: cannot {}: {}", path.string(), action,
       std::strerror(error));
}

void sync_path(const std::filesystem::path& path, bool directory) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | (directory ? O_DIRECTORY : 0));
  if (fd < 0) fail_errno(path, "open for fsync", errno);
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  // EINVAL: the file system has no fsync (some FUSE mounts).
  if (result != 0 && error != EINVAL) fail_errno(path, "fsync", error);
}

std::filesystem::path parent_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// "out/" and "out" name the same folder; the temporary must stand beside it, not inside.
std::filesystem::path without_trailing_slash(const std::filesystem::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

OutputFile::OutputFile(std::filesystem::path path)
    : path_(std::move(path)), temporary_(temporary_beside(path_)) {
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) fail_errno(path_, "create", errno);
  buffer_.reserve(kBufferBytes);
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!committed_) ::unlink(temporary_.c_str());
}

void OutputFile::write(std::span<const std::byte> bytes) {
  write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void OutputFile::write(std::string_view text) {
  bytes_written_ += text.size();
  while (!text.empty()) {
    const std::size_t part = std::min(text.size(), kBufferBytes - buffer_.size());
    buffer_.append(text.substr(0, part));
    text.remove_prefix(part);
    if (buffer_.size() == kBufferBytes) flush();
  }
}

void OutputFile::flush() {
  std::size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t wrote = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) fail_errno(path_, "write", errno);
    done += static_cast<std::size_t>(wrote);
  }
  buffer_.clear();
}

void OutputFile::overwrite_start(std::string_view text) {
  flush();
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t wrote = ::pwrite(fd_, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) fail_errno(path_, "write", errno);
    done += static_cast<std::size_t>(wrote);
  }
}

void OutputFile::commit() {
  flush();
  if (::fsync(fd_) != 0 && errno != EINVAL) fail_errno(path_, "fsync", errno);
  const int closed = ::close(fd_);
  fd_ = -1;
  if (closed != 0) fail_errno(path_, "close", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_errno(path_, "rename into place", errno);
  committed_ = true;
  sync_path(parent_of(path_), true);
}

OutputFolder::OutputFolder(std::filesystem::path target)
    : target_(without_trailing_slash(target)), temporary_(temporary_beside(target_)) {
  std::error_code error;
  if (std::filesystem::exists(std::filesystem::symlink_status(target_, error))) {
    if (!std::filesystem::is_directory(target_, error)) {
      fail(ErrorKind::kInput, "{}: exists and is not a folder", target_.string());
    }
    if (!std::filesystem::is_empty(target_, error)) {
      fail(ErrorKind::kInput,
           "{}: the output folder exists and is not empty; choose another name or remove it",
           target_.string());
    }
  }
  const std::filesystem::path parent = parent_of(target_);
  std::filesystem::create_directories(parent, error);
  if (::mkdir(temporary_.c_str(), 0777) != 0) fail_errno(target_, "create folder", errno);
}

OutputFolder::~OutputFolder() {
  std::error_code error;
  if (!committed_) std::filesystem::remove_all(temporary_, error);
}

void OutputFolder::commit() {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(temporary_)) {
    if (entry.is_symlink()) continue;
    sync_path(entry.path(), entry.is_directory());
  }
  sync_path(temporary_, true);
  // rename(2) replaces an empty folder atomically and refuses any other.
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail_errno(target_, "rename into place", errno);
  committed_ = true;
  sync_path(parent_of(target_), true);
}

AppendFile::AppendFile(std::filesystem::path path, Open open) : path_(std::move(path)) {
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (open == Open::kCreate ? O_EXCL : 0);
  fd_ = ::open(path_.c_str(), flags, 0666);
  if (fd_ < 0 && errno == EEXIST) fail(ErrorKind::kInput, "{}: exists already", path_.string());
  if (fd_ < 0) fail_errno(path_, "create", errno);
}

AppendFile::~AppendFile() {
  if (fd_ >= 0) ::close(fd_);
}

void AppendFile::append(std::string_view record) {
  while (!record.empty()) {
    const ssize_t wrote = ::write(fd_, record.data(), record.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) fail_errno(path_, "append", errno);
    record.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace penjing
