#include "data/npy.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "base/error.h"

namespace penjing {
namespace {

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The format: magic, version 1.0, little-endian header length, header ending in a newline, the whole a
// multiple of 64 bytes; then the numbers.
TEST(Npy, HeaderAndNumbers) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "numbers.npy";
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  NpyWriter writer(path, "<f4", 2);
  for (std::size_t row = 0; row < 3; ++row)
    writer.write_row(std::as_bytes(std::span(values).subspan(2 * row, 2)));
  writer.commit();
  const std::string bytes = slurp(path);
  ASSERT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const std::size_t length =
      static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  EXPECT_EQ((10 + length) % 64, 0u);
  const std::string header = bytes.substr(10, length);
  EXPECT_EQ(header.back(), '\n');
  EXPECT_EQ(header.substr(0, header.find('}') + 1),
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }");
  ASSERT_EQ(bytes.size(), 10 + length + 24);
  EXPECT_EQ(bytes.substr(10 + length),
            std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)));
}

TEST(Npy, NothingIsLeftWithoutCommit) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "npy_abandoned";
  std::filesystem::create_directories(folder);
  { NpyWriter writer(folder / "a.npy", "|i1", 1); }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove_all(folder);
}

// As numpy.lib.format writes it: version, header, numbers.
std::string npy_bytes(const std::string& dictionary, const std::string& numbers, char version = 1) {
  std::string header = dictionary + "\n";
  std::string bytes = std::string("\x93NUMPY", 6) + version + '\0';
  const auto length = static_cast<uint32_t>(header.size());
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(length >> (8 * i));
  return bytes + header + numbers;
}

template <typename T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

TEST(Npy, ReadsWhatNumpyWrites) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "read.npy";
  const auto read = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
    return read_npy(path);
  };
  const std::vector<float> floats = {1.5f, -2, 3, 4, 5, 6};
  const NpyMatrix matrix =
      read(npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", raw(floats)));
  EXPECT_EQ(matrix.rows, 2);
  EXPECT_EQ(matrix.columns, 3);
  EXPECT_EQ(matrix.values, floats);
  const NpyMatrix vector = read(npy_bytes("{'shape': (2,), 'fortran_order': False, 'descr': '<f8'}",
                                          raw(std::vector<double>{0.25, -8}), 2));
  EXPECT_EQ(vector.rows, 2);
  EXPECT_EQ(vector.columns, 1);
  EXPECT_EQ(vector.values, (std::vector<float>{0.25f, -8}));
}

TEST(Npy, RefusesWhatIsNone) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "wrong.npy";
  const std::string four = raw(std::vector<float>{1, 2, 3, 4});
  for (const std::string& bytes :
       {std::string(), std::string("\x93NUMPY"), npy_bytes("{}", four),
        npy_bytes("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", four),
        npy_bytes("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", four),
        npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", four),
        npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -2), }", four),
        npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", four),
        npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': 4", four),
        npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 2), }", four),
        npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", four).substr(0, 40),
        npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", four, 9)}) {
    std::ofstream(path, std::ios::binary) << bytes;
    EXPECT_THROW(read_npy(path), Error) << bytes;
  }
}

}  // namespace
}  // namespace penjing
