#include "model/model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/architectures.h"
#include "model/block_parts.h"
#include "model/compression_config.h"
#include "model/exits.h"
#include "model/linear.h"

namespace penjing {

std::string_view SideFile::text() const {
  if (file == nullptr) return content;
  return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
}

namespace {

constexpr const char* kWhere = "config.json: model_type";

const Architecture& architecture_of(const Json& config) {
  const Json* type = config.find("model_type");
  if (type == nullptr) {
    fail(ErrorKind::kFormat, "{} is missing; wanted one of: {}", kWhere, architecture_names());
  }
  const std::string& name = type->as_string(kWhere);
  if (const Architecture* architecture = find_architecture(name)) return *architecture;
  fail(ErrorKind::kUnsupported, "{} is \"{}\"; supported: {}", kWhere, name, architecture_names());
}

std::string canonical_name(std::string_view name, std::string_view prefix) {
  std::string result(name);
  if (result.starts_with("module.")) result.erase(0, 7);
  if (result.starts_with(prefix)) result.erase(0, prefix.size());
  const auto rename_end = [&](std::string_view from, std::string_view to) {
    if (result.ends_with(from)) result.replace(result.size() - from.size(), from.size(), to);
  };
  rename_end("LayerNorm.gamma", "LayerNorm.weight");
  rename_end("LayerNorm.beta", "LayerNorm.bias");
  return result;
}

// Calls `check(tensor name, wanted shape)` for the tensors of a norm.
void check_norm(const TensorMap& tensors, const NormSpec& norm) {
  for (const char* part : {".weight", ".bias"}) {
    if (part[1] == 'b' && !norm.bias) continue;
    const Tensor& tensor = tensors.at(norm.name + part);
    if (tensor.shape != Shape{norm.width}) {
      fail(ErrorKind::kFormat, "tensor {}{}: shape {}, wanted [{}]", norm.name, part, to_string(tensor.shape),
           norm.width);
    }
    if (!is_computable(tensor.type)) {
      fail(ErrorKind::kUnsupported, "tensor {}{}: element type {} cannot be computed with", norm.name, part,
           name_of(tensor.type));
    }
  }
}

void check_rest(const TensorMap& tensors, const Description& d, const HeadSpec& head) {
  const Tensor& rest = tensors.at(head.projection_rest);
  const Shape wanted = {head.projection.in - projection_row_width(d, head), head.projection.out};
  if (rest.shape != wanted) {
    fail(ErrorKind::kFormat, "tensor {}: shape {}, wanted {}", head.projection_rest, to_string(rest.shape),
         to_string(wanted));
  }
  if (rest.type != DType::kF32 && rest.type != DType::kF16 && rest.type != DType::kBF16 &&
      rest.type != DType::kF64) {
    fail(ErrorKind::kUnsupported, "tensor {}: element type {} cannot be computed with", head.projection_rest,
         name_of(rest.type));
  }
}

void check_head(const Model& model, const HeadSpec& head) {
  const Description& d = model.description;
  if (head.input == HeadInput::kAttended) {
    for (const LinearSpec* spec : {&head.attention, &head.attention_score})
      (void)resolve_linear(model, *spec);
  }
  if (head.has_dense) (void)resolve_linear(model, head.dense);
  if (head.has_norm) check_norm(model.tensors, head.norm);
  if (!head.has_projection) return;
  if (head.tied_to_word_embeddings || !head.projection_rest.empty()) {
    (void)resolve_embedding(model.tensors, projection_rows(d, head), head.projection.out,
                            projection_row_width(d, head));
  } else if (head.projection_bias.empty()) {
    (void)resolve_linear(model, head.projection);
  }
  if (!head.projection_rest.empty()) check_rest(model.tensors, d, head);
  if (!head.projection_bias.empty() &&
      model.tensors.at(head.projection_bias).shape != Shape{head.projection.out}) {
    fail(ErrorKind::kFormat, "tensor {}: shape {}, wanted [{}]", head.projection_bias,
         to_string(model.tensors.at(head.projection_bias).shape), head.projection.out);
  }
}

void check_structure(const Model& model) {
  const Description& d = model.description;
  const EmbeddingSpec& e = d.embedding;
  (void)resolve_embedding(model.tensors, e.word, e.vocab_size, e.width);
  if (!e.token_type.empty())
    (void)resolve_embedding(model.tensors, e.token_type, e.type_vocab_size, e.table_width());
  if (e.position.scheme == PositionScheme::kLearned || e.position.scheme == PositionScheme::kLearnedOffset) {
    (void)resolve_embedding(model.tensors, e.position.name, e.position.count, e.table_width());
  }
  if (e.has_norm) check_norm(model.tensors, e.norm);
  if (e.has_projection) (void)resolve_linear(model, e.projection);
  for (const Block& block : d.blocks) {
    for (const LinearSpec* spec : linears_of(block)) (void)resolve_linear(model, *spec);
    const auto* attention = std::get_if<AttentionSpec>(&block.part);
    if (attention != nullptr && attention->position.scheme == PositionScheme::kRelativeBuckets) {
      (void)resolve_embedding(model.tensors, attention->position.name, attention->position.count,
                              attention->num_heads);
    }
    for (const NormSpec* spec : norms_of(block)) check_norm(model.tensors, *spec);
  }
  for (const HeadSpec& head : d.heads) check_head(model, head);
  for (const ExitSpec& exit : read_exits(model)) check_head(model, exit.head);
}

void check_finite(const std::string& name, const Tensor& tensor) {
  if (tensor.type != DType::kF32 && tensor.type != DType::kF16 && tensor.type != DType::kBF16 &&
      tensor.type != DType::kF64)
    return;
  std::vector<float> block(4096);
  const int64_t count = tensor.size();
  for (int64_t begin = 0; begin < count; begin += static_cast<int64_t>(block.size())) {
    block.resize(static_cast<std::size_t>(std::min<int64_t>(count - begin, 4096)));
    read_floats(tensor, begin, block, name);
    for (std::size_t i = 0; i < block.size(); ++i) {
      if (!std::isfinite(block[i])) {
        fail(ErrorKind::kFormat, "tensor {}: element {} is {}; wanted finite numbers", name,
             begin + static_cast<int64_t>(i), block[i]);
      }
    }
  }
}

std::vector<std::string> read_labels(const Json& config) {
  std::vector<std::string> labels;
  const Json* map = config.find("id2label");
  if (map == nullptr || map->is_null()) return labels;
  const auto& members = map->as_object("config.json: id2label");
  labels.resize(members.size());
  std::vector<bool> seen(members.size(), false);
  for (const auto& [key, value] : members) {
    std::size_t index = members.size();
    if (!key.empty() && key.size() <= 7 && key.find_first_not_of("0123456789") == std::string::npos)
      index = std::stoul(key);
    if (index >= members.size() || seen[index]) {
      fail(ErrorKind::kFormat, "config.json: id2label has key \"{}\"; wanted each of 0 to {} once", key,
           members.size() - 1);
    }
    seen[index] = true;
    labels[index] = value.as_string("config.json: id2label." + key);
  }
  return labels;
}

}  // namespace

const HeadSpec* Description::find_head(HeadKind kind) const {
  for (const HeadSpec& head : heads) {
    if (head.kind == kind) return &head;
  }
  return nullptr;
}

const std::string& projection_rows(const Description& description, const HeadSpec& head) {
  return head.tied_to_word_embeddings ? description.embedding.word : head.projection.name;
}

int64_t projection_row_width(const Description& description, const HeadSpec& head) {
  return head.projection_rest.empty() ? head.projection.in : description.embedding.width;
}

namespace {

// compression_config.attention: "int8" or, as when it is absent, "fp32".
bool attention_is_integer(const Json& config) {
  const Json* attention = find_compression(config, "attention");
  if (attention == nullptr) return false;
  const std::string format = attention->as_string("config.json: compression_config.attention");
  if (format != "int8" && format != "fp32") {
    fail(ErrorKind::kUnsupported, "config.json: compression_config.attention is \"{}\"; wanted int8 or fp32",
         format);
  }
  return format == "int8";
}

}  // namespace

Description describe(const Json& config, const TensorMap& tensors) {
  Description description = architecture_of(config).describe(config, tensors);
  if (attention_is_integer(config)) {
    for (Block& block : description.blocks) {
      if (auto* attention = std::get_if<AttentionSpec>(&block.part)) attention->integer = true;
    }
  }
  return description;
}

void use_integer_attention(Model& model) {
  set_compression(model.config, "attention", "int8");
  model.description = describe(model.config, model.tensors);
}

void use_float_attention(Model& model) {
  if (find_compression(model.config, "attention") == nullptr) return;
  erase_compression(model.config, "attention");
  model.description = describe(model.config, model.tensors);
}

TensorMap canonicalize(const TensorMap& tensors, const Json& config) {
  const Architecture& architecture = architecture_of(config);
  TensorMap result;
  for (const auto& [name, tensor] : tensors) {
    std::string canonical = canonical_name(name, architecture.prefix);
    for (const auto& [stored, renamed] : architecture.renamed) {
      if (canonical == stored) canonical = renamed;
    }
    if (result.find(canonical) != nullptr) {
      fail(ErrorKind::kFormat, "two tensors are both {} (one is stored as {})", canonical, name);
    }
    result.set(std::move(canonical), tensor);
  }
  return result;
}

StoredNames::StoredNames(const Model& model) {
  const Architecture& architecture = architecture_of(model.config);
  encoder_modules_ = architecture.encoder_modules;
  renamed_ = architecture.renamed;
  const auto in_sentence_module = [&](std::string_view name) {
    return std::any_of(model.sentence.modules.begin(), model.sentence.modules.end(), [&](const auto& module) {
      return !module.dense.name.empty() && name.starts_with(module.dense.name + ".");
    });
  };
  for (const auto& [name, tensor] : model.tensors) {
    if (!in_encoder(name) && !in_sentence_module(name)) prefix_ = architecture.prefix;
  }
}

bool StoredNames::in_encoder(std::string_view name) const {
  const std::string_view module = name.substr(0, name.find('.'));
  return std::find(encoder_modules_.begin(), encoder_modules_.end(), module) != encoder_modules_.end();
}

std::string StoredNames::operator()(const std::string& canonical) const {
  for (const auto& [stored, renamed] : renamed_) {
    if (canonical == renamed) return std::string(stored);
  }
  return in_encoder(canonical) ? prefix_ + canonical : canonical;
}

void check_model(const Model& model, bool values) {
  check_structure(model);
  if (!values) return;
  for (const auto& [name, tensor] : model.tensors) check_finite(name, tensor);
}

bool is_sentence_classifier(const Model& model) {
  if (model.sentence.modules.empty() || model.id2label.empty()) return false;
  const SentenceModule& last = model.sentence.modules.back();
  return last.kind == SentenceModule::Kind::kDense && last.activation == Activation::kNone &&
         last.dense.out == static_cast<int64_t>(model.id2label.size());
}

void complete_model(Model& model) {
  model.tensors = canonicalize(model.tensors, model.config);
  model.description = describe(model.config, model.tensors);
  model.id2label = read_labels(model.config);
  check_model(model, false);
}

}  // namespace penjing
