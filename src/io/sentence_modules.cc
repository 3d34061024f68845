#include "io/sentence_modules.h"

#include <algorithm>

#include "base/error.h"
#include "base/mapped_file.h"
#include "io/safetensors.h"
#include "model/architectures.h"

namespace penjing {

namespace {

constexpr std::size_t kMaxConfigBytes = 1 << 20;

Json read_json(const std::filesystem::path& folder, const std::string& relative) {
  const auto path = contained_path(folder, relative);
  return Json::parse(read_text_file(path, kMaxConfigBytes), path.string());
}

bool has_file(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

PoolingMode pooling_from_name(const std::string& name, const std::string& where) {
  if (name == "cls") return PoolingMode::kCls;
  if (name == "mean") return PoolingMode::kMean;
  if (name == "max") return PoolingMode::kMax;
  if (name == "mean_sqrt_len_tokens" || name == "mean_sqrt_len") return PoolingMode::kMeanSqrtLen;
  if (name == "weightedmean") return PoolingMode::kWeightedMean;
  if (name == "lasttoken") return PoolingMode::kLastToken;
  fail(ErrorKind::kUnsupported,
       "{}: pooling \"{}\"; supported: cls, mean, max, mean_sqrt_len_tokens, weightedmean, lasttoken", where,
       name);
}

PoolingSpec read_pooling(const Json& config, const std::string& where) {
  PoolingSpec spec;
  spec.include_prompt = config_bool_or(config, "include_prompt", true);
  if (const Json* mode = config.find("pooling_mode")) {  // the new form
    if (mode->is_array()) {
      for (const Json& name : mode->as_array(where))
        spec.modes.push_back(pooling_from_name(name.as_string(where), where));
    } else {
      spec.modes.push_back(pooling_from_name(mode->as_string(where), where));
    }
  } else {
    // The old form, in the order in which Sentence-Transformers concatenates.
    constexpr std::pair<const char*, PoolingMode> kKeys[] = {
        {"pooling_mode_cls_token", PoolingMode::kCls},
        {"pooling_mode_max_tokens", PoolingMode::kMax},
        {"pooling_mode_mean_tokens", PoolingMode::kMean},
        {"pooling_mode_mean_sqrt_len_tokens", PoolingMode::kMeanSqrtLen},
        {"pooling_mode_weightedmean_tokens", PoolingMode::kWeightedMean},
        {"pooling_mode_lasttoken", PoolingMode::kLastToken}};
    for (const auto& [key, kind] : kKeys) {
      if (config_bool_or(config, key, false)) spec.modes.push_back(kind);
    }
    for (const auto& member : config.as_object(where)) {
      const std::string& key = member.first;
      if (!key.starts_with("pooling_mode_") || !member.second.is_bool() || !member.second.as_bool(where))
        continue;
      const bool known =
          std::any_of(std::begin(kKeys), std::end(kKeys), [&](const auto& k) { return key == k.first; });
      if (!known) fail(ErrorKind::kUnsupported, "{}: {} is not a pooling we know", where, key);
    }
  }
  if (spec.modes.empty()) fail(ErrorKind::kFormat, "{}: no pooling mode is switched on", where);
  return spec;
}

Activation dense_activation(const Json& config, const std::string& where) {
  const std::string name =
      config_string_or(config, "activation_function", "torch.nn.modules.activation.Tanh");
  const std::string last = name.substr(name.rfind('.') + 1);
  if (last == "Tanh") return Activation::kTanh;
  if (last == "Identity") return Activation::kNone;
  if (last == "ReLU") return Activation::kRelu;
  if (last == "GELU") return Activation::kGelu;
  if (last == "SiLU") return Activation::kSilu;
  fail(ErrorKind::kUnsupported, "{}: activation_function \"{}\"; supported: Tanh, Identity, ReLU, GELU, SiLU",
       where, name);
}

SentenceModule read_dense(const std::filesystem::path& folder, const std::string& path, Model& model) {
  const std::string where = path + "/config.json";
  const Json config = read_json(folder, where);
  SentenceModule module;
  module.kind = SentenceModule::Kind::kDense;
  module.activation = dense_activation(config, where);
  module.dense = {path + ".linear", config_int(config, "in_features", 1, kMaxWidth),
                  config_int(config, "out_features", 1, kMaxWidth), config_bool_or(config, "bias", true)};
  const Safetensors weights = read_safetensors(contained_path(folder, path + "/model.safetensors"));
  for (const auto& [name, tensor] : weights.tensors) model.tensors.set(path + "." + name, tensor);
  return module;
}

}  // namespace

void read_sentence_modules(const std::filesystem::path& folder, Model& model) {
  if (!has_file(folder / "modules.json")) return;
  const Json modules = read_json(folder, "modules.json");
  for (const Json& entry : modules.as_array("modules.json")) {
    const std::string type = config_string_or(entry, "type", "");
    const std::string path = config_string_or(entry, "path", "");
    const std::string last = type.substr(type.rfind('.') + 1);
    if (last == "Transformer") {
      if (!path.empty()) {
        fail(ErrorKind::kUnsupported,
             "modules.json: the Transformer module lies in \"{}\"; supported: the folder itself", path);
      }
    } else if (last == "StaticEmbedding") {  // a table and the mean of its rows
      if (!path.empty() && path != ".") {
        fail(ErrorKind::kUnsupported,
             "modules.json: the StaticEmbedding module lies in \"{}\"; supported: the folder itself", path);
      }
      SentenceModule module;
      module.pooling.modes = {PoolingMode::kMean};
      model.sentence.modules.push_back(std::move(module));
    } else if (last == "Pooling") {
      SentenceModule module;
      module.pooling = read_pooling(read_json(folder, path + "/config.json"), path + "/config.json");
      model.sentence.modules.push_back(std::move(module));
    } else if (last == "Dense") {
      model.sentence.modules.push_back(read_dense(folder, path, model));
    } else if (last == "Normalize") {
      SentenceModule module;
      module.kind = SentenceModule::Kind::kNormalize;
      model.sentence.modules.push_back(std::move(module));
    } else {
      fail(ErrorKind::kUnsupported,
           "modules.json: module type \"{}\"; supported: Transformer, StaticEmbedding, Pooling, Dense, "
           "Normalize",
           type);
    }
  }
  if (has_file(folder / "sentence_bert_config.json")) {
    const Json config = read_json(folder, "sentence_bert_config.json");
    model.sentence.max_seq_length = config_int_or(config, "max_seq_length", 0, 1, kMaxPositions);
  }
  if (has_file(folder / "config_sentence_transformers.json")) {
    const std::string where = "config_sentence_transformers.json";
    const Json config = read_json(folder, where);
    if (const Json* prompts = config.find("prompts"); prompts != nullptr && !prompts->is_null()) {
      for (const auto& [name, text] : prompts->as_object(where + ": prompts")) {
        model.sentence.prompts.emplace_back(name, text.as_string(where + ": prompts." + name));
      }
    }
    model.sentence.default_prompt = config_string_or(config, "default_prompt_name", "");
  }
}

namespace {

const char* pooling_key(PoolingMode mode) {
  switch (mode) {
    case PoolingMode::kCls:
      return "pooling_mode_cls_token";
    case PoolingMode::kMean:
      return "pooling_mode_mean_tokens";
    case PoolingMode::kMax:
      return "pooling_mode_max_tokens";
    case PoolingMode::kMeanSqrtLen:
      return "pooling_mode_mean_sqrt_len_tokens";
    case PoolingMode::kWeightedMean:
      return "pooling_mode_weightedmean_tokens";
    case PoolingMode::kLastToken:
      return "pooling_mode_lasttoken";
  }
  return "";
}

Json module_entry(int64_t number, const std::string& path, const char* type) {
  return Json::object({{"idx", number},
                       {"name", std::to_string(number)},
                       {"path", path},
                       {"type", std::string("sentence_transformers.models.") + type}});
}

void set_side_file(Model& model, const std::string& path, const Json& content) {
  std::erase_if(model.side_files, [&](const SideFile& file) { return file.path == path; });
  model.side_files.push_back({path, content.dump(2) + "\n"});
}

void write_pooling(Model& model, Json& modules) {
  modules.push_back(module_entry(0, "", "Transformer"));
  modules.push_back(module_entry(1, "1_Pooling", "Pooling"));
  Json pooling = Json::object({{"word_embedding_dimension", model.description.hidden_size}});
  for (const PoolingMode mode : model.sentence.modules.front().pooling.modes)
    pooling.set(pooling_key(mode), true);
  set_side_file(model, "1_Pooling/config.json", pooling);
}

// modules.json as it is, or for the pooling that was asked for in its place.
Json modules_of(Model& model) {
  for (const SideFile& file : model.side_files) {
    if (file.path == "modules.json") return Json::parse(file.text(), file.path);
  }
  Json modules = Json::array();
  write_pooling(model, modules);
  return modules;
}

}  // namespace

void add_pooling_modules(Model& model, PoolingMode mode, bool normalize, int64_t max_seq_length) {
  if (!model.sentence.modules.empty()) fail(ErrorKind::kInternal, "the model has a pooling already");
  SentenceModule pooling;
  pooling.pooling.modes = {mode};
  model.sentence.modules.push_back(pooling);
  Json modules = Json::array();
  write_pooling(model, modules);
  if (normalize) {
    modules.push_back(module_entry(2, "2_Normalize", "Normalize"));
    SentenceModule module;
    module.kind = SentenceModule::Kind::kNormalize;
    model.sentence.modules.push_back(module);
  }
  set_side_file(model, "modules.json", modules);
  if (max_seq_length > 0) {
    model.sentence.max_seq_length = max_seq_length;
    set_side_file(model, "sentence_bert_config.json",
                  Json::object({{"max_seq_length", max_seq_length}, {"do_lower_case", false}}));
  }
}

void append_dense_module(Model& model, Tensor weight, Tensor bias) {
  if (model.sentence.modules.empty()) fail(ErrorKind::kInternal, "a dense module needs a pooling before it");
  Json modules = modules_of(model);
  const auto number = static_cast<int64_t>(modules.as_array("modules.json").size());
  const std::string path = fmt::format("{}_Dense", number);
  const int64_t out = weight.shape.at(0), in = weight.shape.at(1);
  modules.push_back(module_entry(number, path, "Dense"));
  set_side_file(model, "modules.json", modules);
  set_side_file(model, path + "/config.json",
                Json::object({{"in_features", in},
                              {"out_features", out},
                              {"bias", true},
                              {"activation_function", "torch.nn.modules.linear.Identity"}}));
  SentenceModule module;
  module.kind = SentenceModule::Kind::kDense;
  module.dense = {path + ".linear", in, out, true};
  model.tensors.set(path + ".linear.weight", std::move(weight));
  model.tensors.set(path + ".linear.bias", std::move(bias));
  model.sentence.modules.push_back(std::move(module));
}

void append_classifier(Model& model, Tensor weight, Tensor bias, const std::vector<std::string>& names) {
  append_dense_module(model, std::move(weight), std::move(bias));
  Json id2label = Json::object(), label2id = Json::object();
  for (std::size_t i = 0; i < names.size(); ++i) {
    id2label.set(std::to_string(i), names[i]);
    label2id.set(names[i], static_cast<uint64_t>(i));
  }
  model.config.set("id2label", id2label);
  model.config.set("label2id", label2id);
  model.id2label = names;
}

}  // namespace penjing
