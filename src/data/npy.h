#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/output_file.h"

namespace penjing {

// Writes a 2-D NumPy .npy file (format 1.0) row by row; how many there are is filled in at the end.
class NpyWriter {
 public:
  // descr: "<f4", "<f2", "|i1", "|u1".
  NpyWriter(const std::filesystem::path& path, std::string descr, int64_t columns);
  void write_row(std::span<const std::byte> bytes) {
    file_.write(bytes);
    ++rows_;
  }
  void commit();

 private:
  std::string header() const;
  OutputFile file_;
  std::string descr_;
  int64_t rows_ = 0, columns_;
};

// A .npy file of numbers, as NumPy's save() writes it.
struct NpyMatrix {
  int64_t rows = 0, columns = 0;  // of one dimension: [n, 1]
  std::vector<float> values;      // row by row
};
// "<f4" and "<f8" (rounded to float), one or two dimensions, in C order. kFormat for a broken file,
// kUnsupported for other contents.
NpyMatrix read_npy(const std::filesystem::path& path);

}  // namespace penjing
