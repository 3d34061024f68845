#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "model/model.h"
#include "tests/model/formula_weights.h"
#include "text/ragged_batch.h"

namespace penjing::testing {

// tests/data/<family>_reference.json: what transformers computes with tiny models of a family, of several
// shapes, on a few sequences; written by tools/oracles/family_reference.py. Weights are the formula of
// their names.
class FamilyReference {
 public:
  explicit FamilyReference(const std::string& family) {
    const std::string path = PENJING_SOURCE_DIR "/tests/data/" + family + "_reference.json";
    json_ = Json::parse(read_text_file(path, 1 << 20), path);
  }
  const Json& shape(const std::string& name) const { return *json_.find("shapes")->find(name); }
  std::vector<std::string> shapes() const {
    std::vector<std::string> names;
    for (const auto& [name, shape] : json_.find("shapes")->as_object("shapes")) names.push_back(name);
    return names;
  }
  Json config(const std::string& name, const std::string& head) const {
    Json config = *shape(name).find("config");
    config.set("model_type", *json_.find("family"));
    config.set("architectures", Json(Json::Array{Json(json_.find("class")->as_string("class") + head)}));
    return config;
  }
  // With a masked-LM head, or with a classifier of three classes; tensors under the names that transformers
  // stores.
  Model model(const std::string& name, bool classifies = false) const {
    Model model;
    model.config = config(name, classifies ? "ForSequenceClassification" : "ForMaskedLM");
    if (classifies) model.config.set("num_labels", 3);
    const std::string prefix = json_.find("family")->as_string("family") + ".";
    for (const char* key : {"tensors", "class_tensors"}) {
      if (!classifies && key == std::string("class_tensors")) continue;
      for (const auto& [stored, sizes] : shape(name).find(key)->as_object(key)) {
        const bool encoder = stored.starts_with(prefix);
        if (classifies && !encoder && key == std::string("tensors")) continue;  // the masked-LM head
        Shape wanted;
        for (const Json& size : sizes.as_array("shape")) wanted.push_back(size.as_int("shape"));
        const std::string canonical = encoder ? stored.substr(prefix.size()) : stored;
        std::vector<float> values(static_cast<std::size_t>(element_count(wanted)));
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = formula_weight(canonical, i);
        model.tensors.set(stored, Tensor::from_floats(wanted, values));
      }
    }
    return model;
  }
  // Sequence i: its "ids", "types" or "labels" (-100: none).
  std::vector<int32_t> sequence(const char* key, std::size_t i) const {
    std::vector<int32_t> out;
    for (const Json& value : json_.find(key)->as_array(key)[i].as_array(key))
      out.push_back(static_cast<int32_t>(value.as_int(key)));
    return out;
  }
  std::size_t num_sequences() const { return json_.find("ids")->as_array("ids").size(); }
  // All of them, or one.
  RaggedBatch batch(int only = -1) const {
    RaggedBatch batch;
    for (std::size_t i = 0; i < num_sequences(); ++i) {
      if (only < 0 || i == static_cast<std::size_t>(only))
        batch.append(sequence("ids", i), sequence("types", i));
    }
    return batch;
  }

 private:
  Json json_;
};

}  // namespace penjing::testing
