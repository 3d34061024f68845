#include "data/npy.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

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

}  // namespace
}  // namespace penjing
