#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "base/output_file.h"

namespace penjing {

// Writes a 2-D NumPy .npy file (format 1.0) row by row.
class NpyWriter {
 public:
  // descr: "<f4", "<f2", "|i1", "|u1".
  NpyWriter(const std::filesystem::path& path, const std::string& descr, int64_t rows, int64_t columns);
  void write(std::span<const std::byte> bytes) { file_.write(bytes); }
  void commit() { file_.commit(); }

 private:
  OutputFile file_;
};

}  // namespace penjing
