#include "data/npy.h"

#include <charconv>
#include <cstring>

#include "base/error.h"
#include "base/mapped_file.h"

namespace penjing {

namespace {

constexpr std::size_t kMaxHeader = 1 << 16;

// What stands behind 'key': in the header, a Python dictionary of literals, up to the comma or brace that
// ends it (parentheses hold together).
std::string_view header_value(std::string_view header, std::string_view key, const std::string& where) {
  const std::size_t at = header.find(fmt::format("'{}':", key));
  if (at == std::string_view::npos) fail(ErrorKind::kFormat, "{}: no {} in its header", where, key);
  std::size_t begin = at + key.size() + 3;
  while (begin < header.size() && header[begin] == ' ') ++begin;
  std::size_t end = begin;
  for (int depth = 0; end < header.size(); ++end) {
    if (header[end] == '(') ++depth;
    if (header[end] == ')') --depth;
    if (depth == 0 && (header[end] == ',' || header[end] == '}')) break;
  }
  return header.substr(begin, end - begin);
}

std::vector<int64_t> read_shape(std::string_view text, const std::string& where) {
  std::vector<int64_t> shape;
  const auto broken = [&] { fail(ErrorKind::kFormat, "{}: shape {}", where, text); };
  if (text.size() < 2 || text.front() != '(' || text.back() != ')') broken();
  const char* at = text.data() + 1;
  const char* const end = text.data() + text.size() - 1;
  while (at < end) {
    if (*at == ' ' || *at == ',') {
      ++at;
      continue;
    }
    int64_t size = 0;
    const auto [stopped, error] = std::from_chars(at, end, size);
    if (error != std::errc() || size < 0) broken();
    shape.push_back(size);
    at = stopped;
  }
  return shape;
}

template <typename T>
T read_at(std::span<const std::byte> bytes, std::size_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

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

NpyMatrix read_npy(const std::filesystem::path& path) {
  const std::string where = path.string();
  const auto file = MappedFile::open(path);
  std::span<const std::byte> bytes = file->bytes();
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()),
                               std::min<std::size_t>(bytes.size(), 12));
  if (!start.starts_with("\x93NUMPY") || start.size() < 12) {
    fail(ErrorKind::kFormat, "{}: no .npy file", where);
  }
  const int version = start[6];
  if (version < 1 || version > 3) fail(ErrorKind::kUnsupported, "{}: version {} of .npy", where, version);
  const std::size_t prefix = version == 1 ? 10 : 12;
  const std::size_t length =
      version == 1 ? read_at<uint16_t>(bytes.subspan(8), 0) : read_at<uint32_t>(bytes.subspan(8), 0);
  if (length > kMaxHeader || prefix + length > bytes.size()) {
    fail(ErrorKind::kFormat, "{}: a header of {} bytes in a file of {}", where, length, bytes.size());
  }
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + prefix, length);
  bytes = bytes.subspan(prefix + length);
  const std::string_view type = header_value(header, "descr", where);
  const std::size_t width = type == "'<f4'" ? 4 : type == "'<f8'" ? 8 : 0;
  if (width == 0) fail(ErrorKind::kUnsupported, "{}: type {}; wanted <f4 or <f8", where, type);
  if (header_value(header, "fortran_order", where) != "False") {
    fail(ErrorKind::kUnsupported, "{}: Fortran order; wanted C order", where);
  }
  const std::vector<int64_t> shape = read_shape(header_value(header, "shape", where), where);
  if (shape.empty() || shape.size() > 2) {
    fail(ErrorKind::kUnsupported, "{}: {} dimensions; wanted one or two", where, shape.size());
  }
  NpyMatrix matrix;
  matrix.rows = shape[0];
  matrix.columns = shape.size() == 2 ? shape[1] : 1;
  constexpr int64_t kMost = int64_t{1} << 31;  // of one side: the product cannot overflow
  if (matrix.rows > kMost || matrix.columns > kMost ||
      static_cast<uint64_t>(matrix.rows) * static_cast<uint64_t>(matrix.columns) * width != bytes.size()) {
    fail(ErrorKind::kFormat, "{}: {} bytes of numbers, wanted {} x {} of {}", where, bytes.size(),
         matrix.rows, matrix.columns, width);
  }
  const auto count = static_cast<std::size_t>(matrix.rows * matrix.columns);
  matrix.values.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    matrix.values[i] = width == 4 ? read_at<float>(bytes, i) : static_cast<float>(read_at<double>(bytes, i));
  }
  return matrix;
}

}  // namespace penjing
