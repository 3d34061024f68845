#include "io/packed_weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "base/error.h"
#include "tests/model/tiny_bert.h"

namespace penjing {
namespace {

Json packed_config(int bits) {
  Json targets = Json::array();
  targets.push_back("Linear");
  const Json group = Json::object({{"targets", targets}, {"weights", Json::object({{"num_bits", bits}})}});
  return Json::object(
      {{"quantization_config", Json::object({{"quant_method", "compressed-tensors"},
                                             {"format", "pack-quantized"},
                                             {"config_groups", Json::object({{"group_0", group}})}})}});
}

Tensor codes_tensor(Shape shape, const std::vector<int>& codes) {
  std::vector<std::byte> bytes;
  for (const int code : codes) bytes.push_back(static_cast<std::byte>(static_cast<int8_t>(code)));
  return Tensor::from_bytes(DType::kI8, std::move(shape), std::move(bytes));
}

Description one_linear(int64_t in, int64_t out) {
  Description description;
  Block block;
  block.part = BottleneckSpec{{"layer", in, out, true}, Activation::kNone};
  description.blocks.push_back(block);
  return description;
}

std::vector<uint32_t> words_of(const Tensor& tensor) {
  std::vector<uint32_t> words(tensor.bytes.size() / 4);
  std::memcpy(words.data(), tensor.bytes.data(), tensor.bytes.size());
  return words;
}

// Worked by hand: codes plus 2^(bits-1), low bits first. (compressed-tensors 0.20 gives the same words.)
TEST(PackedWeights, Words) {
  TensorMap tensors;
  tensors.set("layer.weight", codes_tensor({2, 5}, {-127, -1, 0, 1, 127, 1, 2, 3, 4, -128}));
  const TensorMap eight = pack_weights(tensors, packed_config(8), one_linear(5, 2));
  EXPECT_EQ(eight.at("layer.weight_packed").shape, (Shape{2, 2}));
  EXPECT_EQ(words_of(eight.at("layer.weight_packed")),
            (std::vector<uint32_t>{0x81807f01u, 0x000000ffu, 0x84838281u, 0x00000000u}));
  EXPECT_EQ(eight.find("layer.weight"), nullptr);
  tensors.set("layer.weight", codes_tensor({1, 9}, {-8, -7, -1, 0, 1, 6, 7, 2, 3}));
  const TensorMap four = pack_weights(tensors, packed_config(4), one_linear(9, 1));
  EXPECT_EQ(words_of(four.at("layer.weight_packed")), (std::vector<uint32_t>{0xafe98710u, 0x0000000bu}));
  int64_t shape[2];
  std::memcpy(shape, four.at("layer.weight_shape").bytes.data(), 16);
  EXPECT_EQ(shape[0], 1);
  EXPECT_EQ(shape[1], 9);
}

TEST(PackedWeights, ComeBackAsTheyWere) {
  Rng rng(3);
  for (const int bits : {4, 8}) {
    for (const int64_t columns : {1, 3, 4, 7, 8, 9, 31, 33}) {
      std::vector<int> codes(static_cast<std::size_t>(5 * columns));
      for (int& code : codes) code = static_cast<int>(rng.below(1u << bits)) - (1 << (bits - 1));
      TensorMap tensors;
      tensors.set("layer.weight", codes_tensor({5, columns}, codes));
      tensors.set("other.weight", codes_tensor({1, 1}, {3}));  // no linear layer: a table
      const Json config = packed_config(bits);
      const TensorMap packed = pack_weights(tensors, config, one_linear(columns, 5));
      EXPECT_NE(packed.find("other.weight"), nullptr);
      const TensorMap back = unpack_weights(packed, config);
      const Tensor& found = back.at("layer.weight");
      ASSERT_EQ(found.shape, (Shape{5, columns}));
      EXPECT_TRUE(
          std::equal(found.bytes.begin(), found.bytes.end(), tensors.at("layer.weight").bytes.begin()));
      EXPECT_EQ(back.find("layer.weight_shape"), nullptr);
    }
  }
  TensorMap plain;
  plain.set("layer.weight", codes_tensor({1, 1}, {3}));
  EXPECT_NE(pack_weights(plain, Json::object(), one_linear(1, 1)).find("layer.weight"), nullptr);
}

TEST(PackedWeights, HostileFiles) {
  const auto shape_of = [](int64_t rows, int64_t columns) {
    const int64_t shape[2] = {rows, columns};
    std::vector<std::byte> bytes(16);
    std::memcpy(bytes.data(), shape, 16);
    return Tensor::from_bytes(DType::kI64, {2}, bytes);
  };
  const auto error_of = [](const TensorMap& tensors, const Json& config) {
    try {
      (void)unpack_weights(tensors, config);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const Tensor words = Tensor::from_bytes(DType::kI32, {2, 2}, std::vector<std::byte>(16));
  TensorMap tensors;
  tensors.set("a.weight_packed", words);
  EXPECT_NE(error_of(tensors, packed_config(8)).find("a.weight_shape"), std::string::npos);
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{2, 9},
                                      {2, 4},
                                      {3, 8},
                                      {-1, 8},
                                      {2, -8},
                                      {int64_t{1} << 60, 8},
                                      {2, int64_t{1} << 62}}) {
    tensors.set("a.weight_shape", shape_of(rows, columns));
    EXPECT_NE(error_of(tensors, packed_config(8)), "") << rows << " " << columns;
  }
  tensors.set("a.weight_shape", shape_of(2, 8));
  EXPECT_EQ(error_of(tensors, packed_config(8)), "");
  EXPECT_NE(error_of(tensors, packed_config(4)), "");
  for (const int bits : {0, 3, 5, 16, -1})
    EXPECT_NE(error_of(tensors, packed_config(bits)).find("bits"), std::string::npos);
  tensors.set("a.weight_shape", Tensor::from_bytes(DType::kI32, {2}, std::vector<std::byte>(8)));
  EXPECT_NE(error_of(tensors, packed_config(8)).find("I64"), std::string::npos);
  Json config = packed_config(8);
  config.find("quantization_config")->erase("config_groups");
  EXPECT_NE(error_of(tensors, config).find("config_groups"), std::string::npos);
}

}  // namespace
}  // namespace penjing
