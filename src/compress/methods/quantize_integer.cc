// quantize: post-training quantization that needs no data.
//
//   w8a8   weights INT8, symmetric, one scale an output row: s_o = max|W_o| / 127, q = clamp(round(W / s_o),
//   +-127).
//          Activations uint8, affine, one scale and zero point a token, found while running (dynamic).
//   w8a16  the same weights; arithmetic in FP32 (weight-only).
//   bf16, fp16  every float tensor rounded to nearest-even.
//
// Jacob et al. 2018 (affine map), per-row weights as in Krishnamoorthi 2018; per-token activations as in
// Yao et al. 2022 (ZeroQuant). Leaves alone: LayerNorm, biases, task heads and pooler (small, and other
// loaders expect them so). Embedding tables: INT8 with one scale a row unless --embeddings says otherwise.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "compress/params.h"
#include "model/linear.h"
#include "numerics/float16.h"
#include "numerics/quantizer.h"

namespace penjing {

namespace {

struct Params {
  std::string scheme = "w8a8", activations = "affine", embeddings = "int8";
  std::vector<std::string> exclude;

  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("scheme", scheme, {"w8a8", "w8a16", "bf16", "fp16"},
             "number formats of weights and activations");
    v.choice("activations", activations, {"affine", "symmetric"},
             "w8a8: uint8 with a zero point a token (more accurate) or int8 around zero");
    v.choice("embeddings", embeddings, {"int8", "fp16", "fp32"},
             "embedding tables: int8 is smallest; a folder with fp16 or fp32 tables also loads in "
             "transformers with "
             "compressed-tensors");
    v.list("exclude", exclude, "module names to leave as they are; * and ? allowed; repeatable");
  }
};

Tensor cast(const Tensor& tensor, DType type, const std::string& name) {
  const std::vector<float> values = read_floats(tensor, name);
  if (type == DType::kF32) return Tensor::from_floats(tensor.shape, values);
  std::vector<std::byte> bytes(values.size() * 2);
  auto* out = reinterpret_cast<uint16_t*>(bytes.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    out[i] = type == DType::kF16 ? float_to_half(values[i]) : float_to_bfloat16(values[i]);
    if (type == DType::kF16 && std::isinf(half_to_float(out[i]))) {
      fail(ErrorKind::kFormat, "tensor {}: element {} is {}, beyond fp16's 65504; use bf16", name, i,
           values[i]);
    }
    if (type == DType::kBF16 && std::isinf(bfloat16_to_float(out[i]))) {
      fail(ErrorKind::kFormat, "tensor {}: element {} is {}, beyond bf16's 3.3895e38", name, i, values[i]);
    }
  }
  return Tensor::from_bytes(type, tensor.shape, std::move(bytes));
}

bool is_float(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 || type == DType::kF64;
}

// Replaces NAME.weight by codes and adds NAME.weight_scale [rows, 1].
void quantize_rows(Model& model, const std::string& name) {
  const Tensor weight = model.tensors.at(name + ".weight");
  const int64_t rows = weight.shape[0], columns = weight.shape[1];
  const std::vector<float> values = read_floats(weight, name + ".weight");
  std::vector<std::byte> bytes(values.size());
  std::vector<float> scales(static_cast<std::size_t>(rows));
  quantize_rows_symmetric(values, rows, columns, kInt8,
                          {reinterpret_cast<int8_t*>(bytes.data()), bytes.size()}, scales);
  model.tensors.set(name + ".weight", Tensor::from_bytes(DType::kI8, weight.shape, std::move(bytes)));
  model.tensors.set(name + ".weight_scale", Tensor::from_floats({rows, 1}, scales));
}

std::vector<std::string> encoder_linears(const Description& d) {
  std::vector<std::string> names;
  const auto take = [&](const LinearSpec& spec) {
    if (std::find(names.begin(), names.end(), spec.name) == names.end()) names.push_back(spec.name);
  };
  if (d.embedding.has_projection) take(d.embedding.projection);
  for (const Block& block : d.blocks) {
    if (const auto* attention = std::get_if<AttentionSpec>(&block.part)) {
      take(attention->query), take(attention->key), take(attention->value), take(attention->output);
    } else if (const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part)) {
      take(feed_forward->up), take(feed_forward->down);
      if (feed_forward->gated) take(feed_forward->gate);
    } else if (const auto* bottleneck = std::get_if<BottleneckSpec>(&block.part)) {
      take(bottleneck->linear);
    }
  }
  return names;
}

Json weights_entry() {
  return Json::object({{"num_bits", 8},
                       {"type", "int"},
                       {"symmetric", true},
                       {"strategy", "channel"},
                       {"group_size", nullptr},
                       {"dynamic", false},
                       {"actorder", nullptr},
                       {"observer", "minmax"},
                       {"observer_kwargs", Json::object()}});
}

Json target_list(const char* target) {
  Json list = Json::array();
  list.push_back(target);
  return list;
}

// quantization_config in the compressed-tensors form (conventions of vLLM's library of that name).
Json quantization_config(const Params& params, const std::vector<std::string>& ignored) {
  Json activations = nullptr;
  if (params.scheme == "w8a8") {
    activations = Json::object({{"num_bits", 8},
                                {"type", "int"},
                                {"symmetric", params.activations == "symmetric"},
                                {"strategy", "token"},
                                {"dynamic", true}});
  }
  Json groups = Json::object();
  groups.set("group_0", Json::object({{"targets", target_list("Linear")},
                                      {"weights", weights_entry()},
                                      {"input_activations", activations},
                                      {"output_activations", nullptr}}));
  if (params.embeddings == "int8") {
    groups.set("group_1", Json::object({{"targets", target_list("Embedding")},
                                        {"weights", weights_entry()},
                                        {"input_activations", nullptr},
                                        {"output_activations", nullptr}}));
  }
  Json ignore = Json::array();
  for (const auto& name : ignored) ignore.push_back(name);
  return Json::object({{"quant_method", "compressed-tensors"},
                       {"format", params.scheme == "w8a16" ? "pack-quantized" : "int-quantized"},
                       {"quantization_status", "compressed"},
                       {"global_compression_ratio", nullptr},
                       {"ignore", ignore},
                       {"kv_cache_scheme", nullptr},
                       {"config_groups", groups}});
}

// The modules that --exclude names. A pattern that matches none of those asked about is a mistake.
class Exclusions {
 public:
  explicit Exclusions(const std::vector<std::string>& patterns)
      : patterns_(patterns), used_(patterns.size(), false) {}
  bool contain(const std::string& name) {
    bool found = false;
    for (std::size_t i = 0; i < patterns_.size(); ++i) {
      if (!matches_pattern(patterns_[i], name)) continue;
      used_[i] = found = true;
    }
    return found;
  }
  void refuse_unused() const {
    for (std::size_t i = 0; i < patterns_.size(); ++i) {
      if (!used_[i])
        fail(ErrorKind::kInput, "quantize: exclude pattern \"{}\" matches no module", patterns_[i]);
    }
  }

 private:
  const std::vector<std::string>& patterns_;
  std::vector<bool> used_;
};

void quantize_model(Model& model, const Params& params, MethodReport& report) {
  std::vector<std::string> ignored;
  int64_t quantized = 0;
  Exclusions exclusions(params.exclude);
  for (const std::string& name : encoder_linears(model.description)) {
    if (exclusions.contain(name)) {
      ignored.push_back(name);
    } else if (model.tensors.find(name + ".weight") != nullptr &&
               is_float(model.tensors.at(name + ".weight").type)) {
      quantize_rows(model, name);
      ++quantized;
    } else {
      ignored.push_back(name);
    }
  }
  const EmbeddingSpec& e = model.description.embedding;
  for (const std::string& name : {e.word, e.token_type, e.position.name}) {
    const Tensor* table = name.empty() ? nullptr : model.tensors.find(name + ".weight");
    if (table == nullptr || table->shape.size() != 2) continue;
    if (exclusions.contain(name)) continue;
    if (params.embeddings == "int8") {
      quantize_rows(model, name);
    } else if (params.embeddings == "fp16") {
      model.tensors.set(name + ".weight", cast(*table, DType::kF16, name + ".weight"));
    }
  }
  for (const HeadSpec& head : model.description.heads) {
    if (head.has_dense) ignored.push_back(head.dense.name);
    if (head.has_projection) ignored.push_back(head.projection.name);
  }
  for (const std::string& name : ignored) (void)exclusions.contain(name);  // a head stays in float anyway
  exclusions.refuse_unused();
  std::sort(ignored.begin(), ignored.end());
  ignored.erase(std::unique(ignored.begin(), ignored.end()), ignored.end());
  Json note = Json::array();
  for (const auto& name : ignored) note.push_back(name);
  report.details.set("quantized_linear_layers", quantized);
  report.details.set("kept_in_float", note);
  const StoredNames stored_name(model);
  std::transform(ignored.begin(), ignored.end(), ignored.begin(), stored_name);
  model.config.set("quantization_config", quantization_config(params, ignored));
  report.notes.push_back(
      params.embeddings == "int8"
          ? "embeddings are int8: read by Penjing; for a folder that transformers loads too, use "
            "--embeddings fp16"
          : "loads in transformers with compressed-tensors too");
}

void cast_model(Model& model, const Params& params, MethodReport& report) {
  const DType type = params.scheme == "bf16" ? DType::kBF16 : DType::kF16;
  TensorMap cast_tensors;
  Exclusions exclusions(params.exclude);
  int64_t count = 0;
  for (const auto& [name, tensor] : model.tensors) {
    const std::string module = name.substr(0, name.rfind('.'));
    const bool excluded = exclusions.contain(module);
    const bool change = is_float(tensor.type) && !excluded;
    cast_tensors.set(name, change ? cast(tensor, type, name) : tensor);
    count += change ? 1 : 0;
  }
  exclusions.refuse_unused();
  model.tensors = std::move(cast_tensors);
  const char* name = type == DType::kBF16 ? "bfloat16" : "float16";
  model.config.set(model.config.contains("dtype") ? "dtype" : "torch_dtype", name);
  report.details.set("cast_tensors", count);
}

Model apply(const Model& input, const Json& resolved, MethodContext&, MethodReport& report) {
  const auto params = read_params<Params>(resolved);
  if (input.config.contains("quantization_config") && !input.config.find("quantization_config")->is_null()) {
    fail(ErrorKind::kInput,
         "quantize: the model is quantized already; start from the original, or run dequantize first");
  }
  check_model(input, true);
  Model model = input;
  if (params.scheme == "w8a8" || params.scheme == "w8a16") {
    quantize_model(model, params, report);
  } else {
    cast_model(model, params, report);
  }
  check_model(model, false);
  return model;
}

}  // namespace

extern const Method quantize_integer_method;
const Method quantize_integer_method = {
    "quantize",
    "quantize",
    "INT8, BF16 or FP16 weights without any data",
    "Rounds weights to fewer bits. w8a8 stores real int8 weights (one scale a row) and runs integer products "
    "with "
    "per-token uint8 activations found on the fly: no calibration data needed, and a row's result never "
    "depends on its "
    "batch. Heads, pooler, LayerNorm and biases stay in float.\n\n"
    "Examples:\n  penjing quantize minilm --scheme w8a8 --out minilm-int8\n"
    "  penjing quantize minilm --scheme w8a8 --embeddings fp16 --out minilm-int8-portable\n"
    "  penjing quantize minilm --scheme w8a8 --exclude 'encoder.layer.0.*' --out out",
    Needs::kNothing,
    list_params<Params>,
    apply};

}  // namespace penjing
