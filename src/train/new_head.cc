#include "train/new_head.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "model/architectures.h"

namespace penjing::train {

namespace {

// "Bert" of "BertForMaskedLM" or "BertModel"; else of the model type.
std::string class_prefix(const Model& model) {
  const Json* names = model.config.find("architectures");
  if (names != nullptr && names->is_array() && !names->as_array("").empty()) {
    const std::string& name = names->as_array("")[0].as_string("config.json: architectures");
    for (const char* suffix : {"For", "Model"}) {
      if (const std::size_t at = name.find(suffix); at != std::string::npos && at > 0)
        return name.substr(0, at);
    }
  }
  const Architecture* architecture = find_architecture(model.description.family);
  if (architecture == nullptr || architecture->class_name == nullptr)
    fail(ErrorKind::kUnsupported, "{}: this family has no task heads", model.description.family);
  return architecture->class_name;
}

bool in_head(const HeadSpec& head, const std::string& tensor) {
  const auto below = [&](const std::string& module) {
    return !module.empty() && tensor.starts_with(module + ".");
  };
  return (head.input == HeadInput::kAttended &&
          (below(head.attention.name) || below(head.attention_score.name))) ||
         (head.has_dense && below(head.dense.name)) || (head.has_norm && below(head.norm.name)) ||
         (head.has_projection &&
          (below(head.projection.name) || tensor == head.projection_bias || tensor == head.projection_rest));
}

void erase_other_heads(Model& model, const Description& before) {
  std::vector<std::string> gone;
  for (const TensorMap::Entry& entry : model.tensors) {
    const auto belongs = [&](const Description& d) {
      return std::any_of(d.heads.begin(), d.heads.end(),
                         [&](const HeadSpec& h) { return in_head(h, entry.name); });
    };
    // Next-sentence prediction has no block in the description.
    const bool other = belongs(before) || entry.name.starts_with("cls.");
    const bool kept = entry.name.starts_with("pooler.");
    if (other && !kept) gone.push_back(entry.name);
  }
  for (const std::string& name : gone) model.tensors.erase(name);
}

void add_layer(Model& model, const LinearSpec& spec, double deviation, uint64_t seed) {
  const std::string weight = spec.name + ".weight", bias = spec.name + ".bias";
  const Tensor* there = model.tensors.find(weight);
  if (there != nullptr && there->shape == Shape{spec.out, spec.in}) return;
  model.tensors.set(weight, draw_normal({spec.out, spec.in}, deviation, seed, weight));
  if (spec.bias) {
    model.tensors.set(bias, Tensor::from_floats({spec.out}, std::vector<float>(spec.out, 0.0f)));
  }
}

}  // namespace

Tensor draw_normal(const Shape& shape, double deviation, uint64_t seed, const std::string& name) {
  Rng rng(seed, fnv1a(name));
  std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
  for (float& value : values) value = static_cast<float>(deviation) * rng.normal();
  return Tensor::from_floats(shape, values);
}

void give_head(Model& model, const std::string& task, const std::vector<std::string>& labels,
               const std::string& problem_type, uint64_t seed) {
  const bool fits = announces(model.config, task) && model.id2label == labels;
  const Description before = model.description;
  const std::string name = class_prefix(model) + task;
  if (!fits) erase_other_heads(model, before);
  model.config.set("architectures", Json(Json::Array{Json(name)}));
  Json id2label = Json::object(), label2id = Json::object();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    id2label.set(std::to_string(i), labels[i]);
    label2id.set(labels[i], static_cast<int64_t>(i));
  }
  if (labels.empty()) {
    model.config.erase("id2label");
    model.config.erase("label2id");
  } else {
    model.config.set("id2label", id2label);
    model.config.set("label2id", label2id);
  }
  model.id2label = labels;
  if (!problem_type.empty()) model.config.set("problem_type", problem_type);
  for (const SentenceModule& module : model.sentence.modules) {
    if (module.kind != SentenceModule::Kind::kDense) continue;
    model.tensors.erase(module.dense.name + ".weight");
    model.tensors.erase(module.dense.name + ".bias");
  }
  model.sentence = {};
  std::erase_if(model.side_files, [](const SideFile& file) {
    return file.path == "modules.json" || file.path.find("_Pooling/") != std::string::npos ||
           file.path.find("_Dense/") != std::string::npos ||
           file.path.find("_Normalize/") != std::string::npos ||
           file.path == "config_sentence_transformers.json" || file.path == "sentence_bert_config.json";
  });

  model.description = describe(model.config, model.tensors);
  const double deviation = config_double_or(model.config, "initializer_range", 0.02, 0, 1);
  for (const HeadSpec& head : model.description.heads) {
    if (head.input == HeadInput::kAttended) {
      add_layer(model, head.attention, deviation, seed);
      add_layer(model, head.attention_score, deviation, seed);
    }
    if (head.has_dense) add_layer(model, head.dense, deviation, seed);
    if (head.has_projection && !head.tied_to_word_embeddings)
      add_layer(model, head.projection, deviation, seed);
  }
  model.description = describe(model.config, model.tensors);
  check_model(model, false);
}

}  // namespace penjing::train
