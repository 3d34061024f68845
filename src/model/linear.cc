#include "model/linear.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "model/architectures.h"
#include "model/compression_config.h"
#include "model/model.h"

namespace penjing {

namespace {

void expect_shape(const Tensor& tensor, const std::string& name, const Shape& wanted) {
  if (tensor.shape != wanted) {
    fail(ErrorKind::kFormat, "tensor {}: shape {}, wanted {}", name, to_string(tensor.shape),
         to_string(wanted));
  }
}

bool is_float(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 || type == DType::kF64;
}

void expect_float(const Tensor& tensor, const std::string& name) {
  if (!is_float(tensor.type)) {
    fail(ErrorKind::kUnsupported, "tensor {}: element type {}; wanted F32, F16, BF16 or F64", name,
         name_of(tensor.type));
  }
}

void expect_symmetric(const TensorMap& tensors, const std::string& name) {
  const Tensor* zero = tensors.find(name + ".weight_zero_point");
  if (zero == nullptr) return;
  for (const float value : read_floats(*zero, name + ".weight_zero_point")) {
    if (value != 0)
      fail(ErrorKind::kUnsupported, "tensor {}.weight_zero_point: weights must be symmetric", name);
  }
}

// Scales of [rows] or [rows, 1]; of [rows, groups] where allowed.
Tensor find_scale(const TensorMap& tensors, const std::string& name, int64_t rows, int64_t columns,
                  bool groups_allowed) {
  const std::string scale_name = name + ".weight_scale";
  const Tensor* scale = tensors.find(scale_name);
  if (scale == nullptr)
    fail(ErrorKind::kFormat, "tensor {}.weight is I8 but {} is missing", name, scale_name);
  expect_float(*scale, scale_name);
  const bool by_row = scale->shape == Shape{rows, 1} || scale->shape == Shape{rows};
  const bool by_group = groups_allowed && scale->shape.size() == 2 && scale->shape[0] == rows &&
                        scale->shape[1] > 0 && columns % scale->shape[1] == 0;
  if (!by_row && !by_group) {
    fail(ErrorKind::kUnsupported, "tensor {}: shape {}; supported: one scale a row, [{}, 1]{}", scale_name,
         to_string(scale->shape), rows, groups_allowed ? ", or one a group of equal size" : "");
  }
  return *scale;
}

// NAME.input_scale and NAME.input_zero_point; there codes are signed (int8), here carried from 0 up.
void read_static_range(const TensorMap& tensors, const std::string& name, Linear& linear) {
  const auto one = [&](const char* part) {
    const std::string full = name + part;
    const Tensor& tensor = tensors.at(full);
    if (tensor.size() != 1)
      fail(ErrorKind::kUnsupported, "tensor {}: shape {}; wanted one value", full, to_string(tensor.shape));
    return read_floats(tensor, full)[0];
  };
  const int32_t half = 1 << (linear.activations.bits - 1);
  linear.input_scale = one(".input_scale");
  if (!std::isnormal(linear.input_scale) || linear.input_scale < 0 || !std::isnormal(1 / linear.input_scale))
    fail(ErrorKind::kFormat, "tensor {}.input_scale: {}", name, linear.input_scale);
  const float zero = linear.activations.symmetric ? 0 : one(".input_zero_point");
  if (!(zero >= static_cast<float>(-half) && zero < static_cast<float>(half)))
    fail(ErrorKind::kFormat, "tensor {}.input_zero_point: {}", name, zero);
  linear.input_zero = static_cast<int32_t>(zero) + half;
}

std::string shared_source(const Json& config, const std::string& name) {
  const Json* shared = find_compression(config, "shared");
  const Json* source = shared != nullptr ? shared->find(name) : nullptr;
  return source == nullptr ? "" : source->as_string("config.json: compression_config.shared." + name);
}

}  // namespace

ActivationScheme activation_scheme(const Json& config) {
  const Json* quantization = config.find("quantization_config");
  if (quantization == nullptr || quantization->is_null()) return {};
  constexpr const char* kWhere = "config.json: quantization_config";
  (void)quantization->as_object(kWhere);
  const std::string method = config_string_or(*quantization, "quant_method", "");
  if (method != "compressed-tensors" && method != "penjing") {
    fail(ErrorKind::kUnsupported, "{}: quant_method \"{}\"; supported: compressed-tensors, penjing", kWhere,
         method);
  }
  const std::string format = config_string_or(*quantization, "format", "");
  if (format != "int-quantized" && format != "naive-quantized" && format != "pack-quantized" &&
      format != "dense" && !format.empty()) {
    fail(ErrorKind::kUnsupported,
         "{}: format \"{}\"; supported: int-quantized, naive-quantized, pack-quantized, dense", kWhere,
         format);
  }
  const Json* groups = quantization->find("config_groups");
  if (groups == nullptr) return {};
  for (const auto& [name, group] : groups->as_object(kWhere)) {
    const Json* targets = group.find("targets");
    bool linear = targets == nullptr;
    if (targets != nullptr) {
      for (const Json& target : targets->as_array(kWhere)) linear |= target.as_string(kWhere) == "Linear";
    }
    if (!linear) continue;
    const Json* activations = group.find("input_activations");
    if (activations == nullptr || activations->is_null()) return {};
    const std::string where = fmt::format("{}.config_groups.{}.input_activations", kWhere, name);
    const Json* dynamic = activations->find("dynamic");
    const Json* symmetric = activations->find("symmetric");
    const Json* bits = activations->find("num_bits");
    const std::string strategy = config_string_or(*activations, "strategy", "");
    ActivationScheme scheme;
    const bool per_token = dynamic != nullptr && dynamic->is_bool() && dynamic->as_bool(where);
    if (strategy != (per_token ? "token" : "tensor")) {
      fail(ErrorKind::kUnsupported,
           "{}: {} activations with strategy \"{}\"; supported: dynamic by token, static by tensor", where,
           per_token ? "dynamic" : "static", strategy);
    }
    scheme.kind = per_token ? ActivationScheme::Kind::kPerToken : ActivationScheme::Kind::kStatic;
    scheme.symmetric = symmetric != nullptr && symmetric->as_bool(where);
    scheme.bits = bits == nullptr ? 8 : static_cast<int>(bits->as_int(where + ".num_bits"));
    if (scheme.bits != 7 && scheme.bits != 8)
      fail(ErrorKind::kUnsupported, "{}: {} bits; supported: 7, 8", where, scheme.bits);
    return scheme;
  }
  return {};
}

Linear resolve_linear(const Model& model, const LinearSpec& spec) {
  Linear linear;
  linear.spec = spec;
  linear.shared_with = shared_source(model.config, spec.name);
  const std::string name = linear.shared_with.empty() ? spec.name : linear.shared_with;
  const TensorMap& tensors = model.tensors;

  if (const Tensor* left = tensors.find(name + ".weight_left")) {
    linear.kind = LinearKind::kLowRank;
    linear.left = *left;
    linear.right = tensors.at(name + ".weight_right");
    expect_float(linear.left, name + ".weight_left");
    expect_float(linear.right, name + ".weight_right");
    const int64_t rank = linear.left.shape.size() == 2 ? linear.left.shape[1] : -1;
    expect_shape(linear.left, name + ".weight_left", {spec.out, rank});
    expect_shape(linear.right, name + ".weight_right", {rank, spec.in});
  } else {
    linear.weight = tensors.at(name + ".weight");
    expect_shape(linear.weight, name + ".weight", {spec.out, spec.in});
    if (linear.weight.type == DType::kI8) {
      linear.kind = LinearKind::kQuantized;
      expect_symmetric(tensors, name);
      linear.activations = activation_scheme(model.config);
      linear.scale = find_scale(tensors, name, spec.out, spec.in,
                                linear.activations.kind == ActivationScheme::Kind::kNone);
      if (linear.activations.kind == ActivationScheme::Kind::kStatic)
        read_static_range(tensors, name, linear);
    } else {
      expect_float(linear.weight, name + ".weight");
    }
    if (const Tensor* smooth = tensors.find(name + ".smooth")) {
      expect_shape(*smooth, name + ".smooth", {spec.in});
      for (const float s : read_floats(*smooth, name + ".smooth")) {
        if (!(s > 0) || !std::isnormal(1 / s)) fail(ErrorKind::kFormat, "tensor {}.smooth: {}", name, s);
      }
      linear.smooth = *smooth;
    }
  }
  if (spec.bias) {
    linear.has_bias = true;
    linear.bias = tensors.at(name + ".bias");
    expect_float(linear.bias, name + ".bias");
    expect_shape(linear.bias, name + ".bias", {spec.out});
  }
  return linear;
}

EmbeddingTable resolve_embedding(const TensorMap& tensors, const std::string& name, int64_t rows,
                                 int64_t width) {
  EmbeddingTable table;
  table.name = name + ".weight";
  table.weight = tensors.at(table.name);
  expect_shape(table.weight, table.name, {rows, width});
  table.rows = rows;
  table.width = width;
  if (table.weight.type == DType::kI8) {
    expect_symmetric(tensors, name);
    table.scale = find_scale(tensors, name, rows, width, false);
  } else {
    expect_float(table.weight, table.name);
  }
  return table;
}

void EmbeddingTable::read_row(int64_t row, std::span<float> out) const {
  read_floats(weight, row * width, out, name);
  if (scale.bytes.empty()) return;
  float factor = 1;
  read_floats(scale, row, {&factor, 1}, name);
  for (float& value : out) value *= factor;
}

std::vector<float> dense_weight(const Linear& linear) {
  const LinearSpec& spec = linear.spec;
  if (linear.kind == LinearKind::kLowRank) {
    const std::vector<float> left = read_floats(linear.left, spec.name),
                             right = read_floats(linear.right, spec.name);
    const int64_t rank = linear.left.shape[1];
    std::vector<float> product(static_cast<std::size_t>(spec.out * spec.in), 0.0f);
    for (int64_t o = 0; o < spec.out; ++o) {
      for (int64_t r = 0; r < rank; ++r) {
        const float factor = left[static_cast<std::size_t>(o * rank + r)];
        for (int64_t i = 0; i < spec.in; ++i) {
          product[static_cast<std::size_t>(o * spec.in + i)] +=
              factor * right[static_cast<std::size_t>(r * spec.in + i)];
        }
      }
    }
    return product;
  }
  std::vector<float> weight = read_floats(linear.weight, spec.name);
  if (linear.kind == LinearKind::kQuantized) {
    const std::vector<float> scales = read_floats(linear.scale, spec.name);
    const int64_t groups = linear.scale.shape.size() == 2 ? linear.scale.shape[1] : 1;
    const int64_t group_size = spec.in / groups;
    for (int64_t o = 0; o < spec.out; ++o) {
      for (int64_t i = 0; i < spec.in; ++i) {
        weight[static_cast<std::size_t>(o * spec.in + i)] *=
            scales[static_cast<std::size_t>(o * groups + i / group_size)];
      }
    }
  }
  if (!linear.smooth.bytes.empty()) {
    const std::vector<float> smooth = read_floats(linear.smooth, spec.name + ".smooth");
    for (std::size_t i = 0; i < weight.size(); ++i) weight[i] *= 1 / smooth[i % smooth.size()];
  }
  return weight;
}

}  // namespace penjing
