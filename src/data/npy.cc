#include "data/npy.h"

#include <fmt/format.h>

namespace penjing {

NpyWriter::NpyWriter(const std::filesystem::path& path, const std::string& descr, int64_t rows,
                     int64_t columns)
    : file_(path) {
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}, {}), }}", descr, rows, columns);
  // Magic, version and length take 10 bytes; the whole is padded to 64 and ends in a newline.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  const auto size = static_cast<uint16_t>(header.size());
  file_.write(std::string_view("\x93NUMPY\x01\x00", 8));
  file_.write(std::as_bytes(std::span(&size, 1)));
  file_.write(header);
}

}  // namespace penjing
