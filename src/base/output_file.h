#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace penjing {

// A file that appears whole or not at all: written as "<path>.tmp-<pid>-<n>" beside its target, and on
// commit() flushed, fsynced, renamed over the target, and the folder fsynced. Destroyed without commit, or
// interrupted by a signal (base/interrupt.h), the temporary is removed. Throws kIo / kResource (no space).
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  // Replaces the first bytes, which must be written already: a header that tells what came after it.
  void overwrite_start(std::string_view text);
  void commit();
  std::size_t bytes_written() const { return bytes_written_; }

 private:
  void flush();
  std::filesystem::path path_, temporary_;
  int fd_ = -1;
  std::string buffer_;
  std::size_t bytes_written_ = 0;
  bool committed_ = false;
};

// A folder that appears whole or not at all, by the same rule. Files are written below path(); commit()
// fsyncs every file and folder in it and renames it to the target. An existing target is refused (kInput)
// unless it is an empty folder.
class OutputFolder {
 public:
  explicit OutputFolder(std::filesystem::path target);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  const std::filesystem::path& path() const { return temporary_; }
  void commit();

 private:
  std::filesystem::path target_, temporary_;
  bool committed_ = false;
};

// A log: a file that only grows. Each append() is one write(2), so that readers see whole records at once and
// a killed process leaves at most one torn record, the last. Throws kIo / kResource (no space).
class AppendFile {
 public:
  // kCreate: a new file, one that exists is refused (kInput). kExtend: an existing file's end, or a new file.
  enum class Open { kCreate, kExtend };
  AppendFile(std::filesystem::path path, Open open);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void append(std::string_view record);

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

// Writes `text` to `path` through OutputFile.
void write_text_file(const std::filesystem::path& path, std::string_view text);

}  // namespace penjing
