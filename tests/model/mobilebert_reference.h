#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "model/model.h"
#include "tests/model/mpnet_reference.h"
#include "text/ragged_batch.h"

namespace penjing::testing {

// tests/data/mobilebert_reference.json: transformers' numbers, written by
// tools/oracles/mobilebert_reference.py.
inline const Json& mobilebert_reference() {
  static const Json json = [] {
    const std::string path = PENJING_SOURCE_DIR "/tests/data/mobilebert_reference.json";
    return Json::parse(read_text_file(path, 1 << 20), path);
  }();
  return json;
}

// Its shapes: the bottlenecked student, the teacher with inverted bottlenecks, one without bottlenecks.
inline const char* const kMobileBertShapes[] = {"student", "teacher", "plain"};

inline const Json& mobilebert_shape(const std::string& shape) {
  return *mobilebert_reference().find("shapes")->find(shape);
}

inline Json mobilebert_config(const std::string& shape, const char* architecture) {
  Json config = *mobilebert_shape(shape).find("config");
  config.set("model_type", "mobilebert");
  config.set("architectures", Json(Json::Array{Json(architecture)}));
  return config;
}

// The oracle's model of a shape with a masked-LM head, or with a classifier of three classes; its tensors
// under the names that transformers stores.
inline Model tiny_mobilebert(const std::string& shape, bool classifies = false) {
  Model model;
  model.config =
      mobilebert_config(shape, classifies ? "MobileBertForSequenceClassification" : "MobileBertForMaskedLM");
  if (classifies) model.config.set("num_labels", 3);
  const auto add = [&](const Json& tensors) {
    for (const auto& [stored, sizes] : tensors.as_object("tensors")) {
      if (classifies && stored.starts_with("cls.")) continue;
      Shape wanted;
      for (const Json& size : sizes.as_array("shape")) wanted.push_back(size.as_int("shape"));
      const std::string name =
          stored.starts_with("mobilebert.") ? stored.substr(std::string_view("mobilebert.").size()) : stored;
      std::vector<float> values(static_cast<std::size_t>(element_count(wanted)));
      const double centre = name.ends_with("LayerNorm.weight") ? 1 : 0;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double unit = static_cast<double>(formula_number(name, i) >> 40) / 16777216.0;
        values[i] = static_cast<float>(centre + 0.2 * (unit - 0.5));
      }
      model.tensors.set(stored, Tensor::from_floats(wanted, values));
    }
  };
  add(*mobilebert_shape(shape).find("tensors"));
  if (classifies) add(*mobilebert_shape(shape).find("class_tensors"));
  return model;
}

// Sequence i of the oracle: its "ids", "types" or "labels" (-100: none).
inline std::vector<int32_t> mobilebert_sequence(const char* key, std::size_t i) {
  std::vector<int32_t> out;
  for (const Json& value : mobilebert_reference().find(key)->as_array(key)[i].as_array(key))
    out.push_back(static_cast<int32_t>(value.as_int(key)));
  return out;
}
inline constexpr std::size_t kMobileBertSequences = 3;

// All of them, or one.
inline RaggedBatch mobilebert_batch(int only = -1) {
  RaggedBatch batch;
  for (std::size_t i = 0; i < kMobileBertSequences; ++i) {
    if (only >= 0 && i != static_cast<std::size_t>(only)) continue;
    batch.append(mobilebert_sequence("ids", i), mobilebert_sequence("types", i));
  }
  return batch;
}

}  // namespace penjing::testing
