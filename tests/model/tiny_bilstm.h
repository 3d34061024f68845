#pragma once

#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/rng.h"
#include "model/model.h"
#include "text/ragged_batch.h"

namespace penjing::testing {

struct BiLstmSizes {
  int64_t vocab = 23, width = 5, size = 3, dense = 4, classes = 3;
  bool siamese = false;
  int64_t attention = 0;  // inner width; 0: the last states are read
};

inline Json bilstm_config(const BiLstmSizes& s) {
  Json config = Json::object({{"model_type", "bilstm"},
                              {"architectures", Json(Json::Array{Json("BiLstmForSequenceClassification")})},
                              {"vocab_size", s.vocab},
                              {"embedding_size", s.width},
                              {"hidden_size", s.size},
                              {"dense_size", s.dense},
                              {"num_labels", s.classes},
                              {"siamese", s.siamese}});
  if (s.attention > 0) {
    config.set("pooling", "attention");
    config.set("attention_size", s.attention);
  }
  return config;
}

// Names and shapes of its tensors.
inline std::vector<std::pair<std::string, Shape>> bilstm_shapes(const BiLstmSizes& s) {
  std::vector<std::pair<std::string, Shape>> shapes = {
      {"embeddings.word_embeddings.weight", {s.vocab, s.width}},
      {"dense.weight", {s.dense, (s.siamese ? 8 : 2) * s.size}},
      {"dense.bias", {s.dense}},
      {"classifier.weight", {s.classes, s.dense}},
      {"classifier.bias", {s.classes}}};
  if (s.attention > 0) {
    shapes.push_back({"pooling.attention.weight", {s.attention, 2 * s.size}});
    shapes.push_back({"pooling.attention.bias", {s.attention}});
    shapes.push_back({"pooling.score.weight", {1, s.attention}});
  }
  for (const char* direction : {"encoder.forward", "encoder.backward"}) {
    shapes.push_back({std::string(direction) + ".input.weight", {4 * s.size, s.width}});
    shapes.push_back({std::string(direction) + ".input.bias", {4 * s.size}});
    shapes.push_back({std::string(direction) + ".hidden.weight", {4 * s.size, s.size}});
  }
  return shapes;
}

inline Model tiny_bilstm(const BiLstmSizes& sizes, uint64_t seed) {
  Model model;
  model.config = bilstm_config(sizes);
  Rng rng(seed);
  for (const auto& [name, shape] : bilstm_shapes(sizes)) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (float& value : values) value = 0.5f * rng.normal();
    model.tensors.set(name, Tensor::from_floats(shape, values));
  }
  complete_model(model);
  return model;
}

// tests/data/bilstm_reference.json: PyTorch's numbers, written by tools/oracles/bilstm_reference.py.
inline Json bilstm_reference() {
  const std::string path = PENJING_SOURCE_DIR "/tests/data/bilstm_reference.json";
  return Json::parse(read_text_file(path, 1 << 20), path);
}

inline BiLstmSizes reference_sizes(const Json& sizes, const Json& reference) {
  const auto of = [&](const char* name) { return sizes.find(name)->as_int(name); };
  return {of("vocab"),
          of("width"),
          of("size"),
          of("dense"),
          of("classes"),
          reference.find("siamese")->as_bool("siamese"),
          reference.find("attends")->as_bool("attends") ? of("attention") : 0};
}

inline Model reference_bilstm(const Json& sizes, const Json& reference) {
  const BiLstmSizes s = reference_sizes(sizes, reference);
  Model model;
  model.config = bilstm_config(s);
  for (const auto& [name, shape] : bilstm_shapes(s)) {
    std::vector<float> values;
    for (const Json& value : reference.find("tensors")->find(name)->as_array(name))
      values.push_back(static_cast<float>(value.as_double(name)));
    model.tensors.set(name, Tensor::from_floats(shape, values));
  }
  complete_model(model);
  return model;
}

// Its examples; the texts of a pair have token types 0 and 1.
inline RaggedBatch reference_batch(const Json& reference) {
  const bool siamese = reference.find("siamese")->as_bool("siamese");
  RaggedBatch batch;
  for (const Json& example : reference.find("examples")->as_array("examples")) {
    std::vector<int32_t> ids, types;
    const auto add = [&](const Json& text, int32_t type) {
      for (const Json& id : text.as_array("text")) {
        ids.push_back(static_cast<int32_t>(id.as_int("id")));
        types.push_back(type);
      }
    };
    if (siamese) {
      add(example.as_array("pair")[0], 0);
      add(example.as_array("pair")[1], 1);
      batch.append(ids, types);
    } else {
      add(example, 0);
      batch.append(ids);
    }
  }
  return batch;
}

}  // namespace penjing::testing
