#include "data/npy.h"

#include <fmt/format.h>

namespace penjing {

// Magic, version 1.0 and the header's length take 10 bytes; the whole takes 128, which holds any shape,
// padded with spaces and ended by a newline as the format wants.
std::string NpyWriter::header() const {
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}, {}), }}", descr_, rows_, columns_);
  text.resize(128 - 10 - 1, ' ');
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + text + '\n';
}

NpyWriter::NpyWriter(const std::filesystem::path& path, std::string descr, int64_t columns)
    : file_(path), descr_(std::move(descr)), columns_(columns) {
  file_.write(header());
}

void NpyWriter::commit() {
  file_.overwrite_start(header());
  file_.commit();
}

}  // namespace penjing
