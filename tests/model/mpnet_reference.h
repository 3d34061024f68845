#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "model/model.h"
#include "tests/model/formula_weights.h"

namespace penjing::testing {

// tests/data/mpnet_reference.json: transformers' numbers, written by tools/oracles/mpnet_reference.py.
inline const Json& mpnet_reference() {
  static const Json json = [] {
    const std::string path = PENJING_SOURCE_DIR "/tests/data/mpnet_reference.json";
    return Json::parse(read_text_file(path, 1 << 20), path);
  }();
  return json;
}

inline Json tiny_mpnet_config(const char* architecture) {
  return Json::object({{"architectures", Json(Json::Array{Json(architecture)})},
                       {"model_type", "mpnet"},
                       {"vocab_size", 61},
                       {"hidden_size", 32},
                       {"num_hidden_layers", 2},
                       {"num_attention_heads", 4},
                       {"intermediate_size", 48},
                       {"max_position_embeddings", 130},
                       {"hidden_act", "gelu"},
                       {"layer_norm_eps", 1e-5},
                       {"relative_attention_num_buckets", 32}});
}

// The oracle's MPNetForMaskedLM of two layers, its tensors under the names that transformers stores.
inline Model tiny_mpnet() {
  Model model;
  model.config = tiny_mpnet_config("MPNetForMaskedLM");
  const auto add = [&](const std::string& prefix, const std::string& name, const Shape& shape) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = formula_weight(name, i);
      if (name == "encoder.relative_attention_bias.weight") values[i] *= 10;
      if (name == "lm_head.layer_norm.weight") values[i] += 1;
    }
    model.tensors.set(prefix + name, Tensor::from_floats(shape, values));
  };
  const auto encoder = [&](const std::string& name, const Shape& shape) { add("mpnet.", name, shape); };
  const auto layer = [&](const std::string& name, int64_t in, int64_t out) {
    encoder(name + ".weight", {out, in});
    encoder(name + ".bias", {out});
  };
  const auto norm = [&](const std::string& name) {
    encoder(name + ".weight", {32});
    encoder(name + ".bias", {32});
  };
  encoder("embeddings.word_embeddings.weight", {61, 32});
  encoder("embeddings.position_embeddings.weight", {130, 32});
  norm("embeddings.LayerNorm");
  encoder("encoder.relative_attention_bias.weight", {32, 4});
  for (const std::string base : {"encoder.layer.0.", "encoder.layer.1."}) {
    for (const char* part : {"q", "k", "v", "o"}) layer(base + "attention.attn." + part, 32, 32);
    norm(base + "attention.LayerNorm");
    layer(base + "intermediate.dense", 32, 48);
    layer(base + "output.dense", 48, 32);
    norm(base + "output.LayerNorm");
  }
  add("", "lm_head.dense.weight", {32, 32});
  add("", "lm_head.dense.bias", {32});
  add("", "lm_head.layer_norm.weight", {32});
  add("", "lm_head.layer_norm.bias", {32});
  add("", "lm_head.bias", {61});
  return model;
}

// Sequence i of the oracle: its ids, or its labels (-100: none).
inline std::vector<int32_t> mpnet_sequence(const char* key, std::size_t i) {
  std::vector<int32_t> out;
  for (const Json& value : mpnet_reference().find(key)->as_array(key)[i].as_array(key))
    out.push_back(static_cast<int32_t>(value.as_int(key)));
  return out;
}

}  // namespace penjing::testing
