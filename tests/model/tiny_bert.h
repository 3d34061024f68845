#pragma once

#include <string>
#include <vector>

#include "base/rng.h"
#include "model/model.h"

namespace penjing {

inline Tensor random_tensor(Shape shape, Rng& rng, float scale = 0.1f) {
  std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
  for (float& value : values) value = scale * static_cast<float>(rng.normal());
  return Tensor::from_floats(std::move(shape), values);
}

// config.json and tensors of a BERT of two layers, hidden size 8, two heads of 4, 16 words, names canonical,
// not yet completed: what tests of the checks change before complete_model().
inline Model tiny_bert(const std::string& prefix = "") {
  constexpr int64_t kHidden = 8, kInner = 12, kWords = 16, kPositions = 10;
  Model model;
  model.config = Json::object({{"architectures", Json::array()},
                               {"model_type", "bert"},
                               {"hidden_size", kHidden},
                               {"num_hidden_layers", 2},
                               {"num_attention_heads", 2},
                               {"intermediate_size", kInner},
                               {"vocab_size", kWords},
                               {"max_position_embeddings", kPositions},
                               {"type_vocab_size", 2},
                               {"hidden_act", "gelu"},
                               {"layer_norm_eps", 1e-12}});
  Rng rng(7);
  const auto add = [&](const std::string& name, Shape shape) {
    model.tensors.set(prefix + name, random_tensor(std::move(shape), rng));
  };
  const auto linear = [&](const std::string& name, int64_t in, int64_t out) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  };
  const auto norm = [&](const std::string& name) {
    add(name + ".weight", {kHidden});
    add(name + ".bias", {kHidden});
  };
  add("embeddings.word_embeddings.weight", {kWords, kHidden});
  add("embeddings.position_embeddings.weight", {kPositions, kHidden});
  add("embeddings.token_type_embeddings.weight", {2, kHidden});
  norm("embeddings.LayerNorm");
  for (int layer = 0; layer < 2; ++layer) {
    const std::string base = "encoder.layer." + std::to_string(layer) + ".";
    for (const char* part : {"query", "key", "value"})
      linear(base + "attention.self." + part, kHidden, kHidden);
    linear(base + "attention.output.dense", kHidden, kHidden);
    norm(base + "attention.output.LayerNorm");
    linear(base + "intermediate.dense", kHidden, kInner);
    linear(base + "output.dense", kInner, kHidden);
    norm(base + "output.LayerNorm");
  }
  return model;
}

}  // namespace penjing
