#include "io/packed_weights.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace penjing {

namespace {

constexpr std::string_view kPacked = ".weight_packed", kShape = ".weight_shape";
constexpr const char* kWhere = "config.json: quantization_config";

// Bits of packed weights; 0 when the format is another one.
int packed_bits(const Json& config) {
  const Json* quantization = config.find("quantization_config");
  const Json* format = quantization == nullptr ? nullptr : quantization->find("format");
  if (format == nullptr || !format->is_string() || format->as_string("") != "pack-quantized") return 0;
  const Json* groups = quantization->find("config_groups");
  if (groups == nullptr) fail(ErrorKind::kFormat, "{}: config_groups is missing", kWhere);
  for (const auto& [name, group] : groups->as_object(kWhere)) {
    const Json* targets = group.find("targets");
    const Json* weights = group.find("weights");
    if (targets == nullptr || weights == nullptr) continue;
    const bool linear = std::any_of(targets->as_array(kWhere).begin(), targets->as_array(kWhere).end(),
                                    [](const Json& t) { return t.as_string(kWhere) == "Linear"; });
    const Json* bits = weights->find("num_bits");
    if (!linear || bits == nullptr) continue;
    const int64_t count = bits->as_int(kWhere);
    if (count != 4 && count != 8)
      fail(ErrorKind::kUnsupported, "{}: packed weights of {} bits; supported: 4, 8", kWhere, count);
    return static_cast<int>(count);
  }
  fail(ErrorKind::kUnsupported, "{}: pack-quantized without a group for Linear", kWhere);
}

Tensor unpack(const Tensor& packed, const Shape& shape, int bits, const std::string& name) {
  const int64_t per_word = 32 / bits;
  const int64_t words = shape.size() == 2 ? (shape[1] + per_word - 1) / per_word : -1;
  if (packed.type != DType::kI32 || packed.shape != Shape{shape[0], words}) {
    fail(ErrorKind::kFormat, "tensor {}: {} {}; wanted I32 [{}, {}] for weights of {}", name,
         name_of(packed.type), to_string(packed.shape), shape[0], words, to_string(shape));
  }
  std::vector<std::byte> codes(static_cast<std::size_t>(shape[0] * shape[1]));
  const uint32_t mask = (1u << bits) - 1;
  const int offset = 1 << (bits - 1);
  std::size_t at = 0;
  for (int64_t row = 0; row < shape[0]; ++row) {
    for (int64_t column = 0; column < shape[1]; ++column) {
      uint32_t word = 0;
      std::memcpy(&word, packed.bytes.data() + 4 * (row * words + column / per_word), 4);
      const auto code = static_cast<int>(word >> (column % per_word * bits) & mask) - offset;
      codes[at++] = static_cast<std::byte>(static_cast<int8_t>(code));
    }
  }
  return Tensor::from_bytes(DType::kI8, shape, std::move(codes));
}

Tensor pack(const Tensor& codes, int bits, const std::string& name) {
  const int64_t rows = codes.shape[0], columns = codes.shape[1], per_word = 32 / bits;
  const int64_t words = (columns + per_word - 1) / per_word;
  const int offset = 1 << (bits - 1);
  std::vector<std::byte> bytes(static_cast<std::size_t>(4 * rows * words));
  std::vector<uint32_t> line(static_cast<std::size_t>(words));
  for (int64_t row = 0; row < rows; ++row) {
    std::fill(line.begin(), line.end(), 0u);
    for (int64_t column = 0; column < columns; ++column) {
      const int code =
          static_cast<int8_t>(codes.bytes[static_cast<std::size_t>(row * columns + column)]) + offset;
      if (code < 0 || code >= 2 * offset)
        fail(ErrorKind::kFormat, "tensor {}: code {} does not fit {} bits", name, code - offset, bits);
      line[static_cast<std::size_t>(column / per_word)] |= static_cast<uint32_t>(code)
                                                           << (column % per_word * bits);
    }
    std::memcpy(bytes.data() + 4 * row * words, line.data(), static_cast<std::size_t>(4 * words));
  }
  return Tensor::from_bytes(DType::kI32, {rows, words}, std::move(bytes));
}

Tensor shape_tensor(const Shape& shape) {
  std::vector<std::byte> bytes(shape.size() * 8);
  std::memcpy(bytes.data(), shape.data(), bytes.size());
  return Tensor::from_bytes(DType::kI64, {static_cast<int64_t>(shape.size())}, std::move(bytes));
}

Shape read_shape(const Tensor& tensor, const std::string& name) {
  if (tensor.type != DType::kI64 || tensor.shape != Shape{2}) {
    fail(ErrorKind::kFormat, "tensor {}: {} {}; wanted I64 [2]", name, name_of(tensor.type),
         to_string(tensor.shape));
  }
  Shape shape(2);
  std::memcpy(shape.data(), tensor.bytes.data(), 16);
  // More than any real weight, and small enough that their product is no overflow.
  constexpr int64_t kMax = int64_t{1} << 24;
  if (shape[0] < 0 || shape[1] < 0 || shape[0] > kMax || shape[1] > kMax)
    fail(ErrorKind::kFormat, "tensor {}: a shape of {}", name, to_string(shape));
  return shape;
}

bool is_linear(const Description& description, std::string_view module) {
  const auto is = [&](const LinearSpec& spec) { return spec.name == module; };
  for (const Block& block : description.blocks) {
    if (const auto* attention = std::get_if<AttentionSpec>(&block.part)) {
      if (is(attention->query) || is(attention->key) || is(attention->value) || is(attention->output))
        return true;
    } else if (const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part)) {
      if (is(feed_forward->up) || is(feed_forward->down) || (feed_forward->gated && is(feed_forward->gate)))
        return true;
    } else if (const auto* bottleneck = std::get_if<BottleneckSpec>(&block.part)) {
      if (is(bottleneck->linear)) return true;
    } else if (const auto* recurrent = std::get_if<RecurrentSpec>(&block.part)) {
      if (is(recurrent->forward_input) || is(recurrent->backward_input)) return true;
    }
  }
  return description.embedding.has_projection && is(description.embedding.projection);
}

}  // namespace

TensorMap unpack_weights(const TensorMap& tensors, const Json& config) {
  const int bits = packed_bits(config);
  if (bits == 0) return tensors;
  TensorMap result;
  for (const auto& [name, tensor] : tensors) {
    if (name.ends_with(kShape)) continue;
    if (!name.ends_with(kPacked)) {
      result.set(name, tensor);
      continue;
    }
    const std::string module = name.substr(0, name.size() - kPacked.size());
    const std::string shape_name = module + std::string(kShape);
    const Shape shape = read_shape(tensors.at(shape_name), shape_name);
    result.set(module + ".weight", unpack(tensor, shape, bits, name));
  }
  return result;
}

TensorMap pack_weights(const TensorMap& tensors, const Json& config, const Description& description) {
  const int bits = packed_bits(config);
  if (bits == 0) return tensors;
  constexpr std::string_view kWeight = ".weight";
  TensorMap result;
  for (const auto& [name, tensor] : tensors) {
    const std::string module = name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : "";
    if (tensor.type != DType::kI8 || !is_linear(description, module)) {
      result.set(name, tensor);
      continue;
    }
    result.set(module + std::string(kPacked), pack(tensor, bits, name));
    result.set(module + std::string(kShape), shape_tensor(tensor.shape));
  }
  return result;
}

}  // namespace penjing
