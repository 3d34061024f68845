#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "model/description.h"
#include "model/tensor.h"

namespace penjing {

// Where a family says its sizes, for methods that change them: layer i's tensors are layer_prefix + "i." +
// ..., the others are keys of config.json.
struct SizeNames {
  const char* layer_prefix = nullptr;  // "encoder.layer."; null: the family's sizes cannot be changed
  const char* num_layers = nullptr;
  const char* hidden_size = nullptr;
  const char* num_heads = nullptr;
  const char* intermediate_size = nullptr;
};

// One family of encoders: a file in architectures/, a line in architectures.def.
struct Architecture {
  const char* model_type;  // config.json's model_type
  const char* prefix;      // what its checkpoints may put before names: "bert."
  // Module names that the prefix goes before; heads stand beside them without it.
  std::vector<std::string_view> encoder_modules;
  Description (*describe)(const Json& config, const TensorMap& tensors);
  SizeNames sizes{};
  // Tensors whose stored names no module could have: stored -> canonical.
  std::vector<std::pair<std::string_view, std::string_view>> renamed{};
  // Of transformers' classes, before "Model" and "ForMaskedLM": "Bert"; null: the family has no task heads.
  const char* class_name = nullptr;
};

const Architecture* find_architecture(std::string_view model_type);
std::string architecture_names();  // "bert, distilbert", for messages

// Reading config.json: each throws kFormat naming key, found and wanted.
int64_t config_int(const Json& config, std::string_view key, int64_t min, int64_t max);
int64_t config_int_or(const Json& config, std::string_view key, int64_t fallback, int64_t min, int64_t max);
double config_double_or(const Json& config, std::string_view key, double fallback, double min, double max);
bool config_bool_or(const Json& config, std::string_view key, bool fallback);
std::string config_string_or(const Json& config, std::string_view key, std::string_view fallback);
// Attention heads; kFormat where they do not divide the width evenly.
int64_t config_heads(const Json& config, std::string_view key, std::string_view width_key);
// Whether problem_type says that several classes may hold at once.
bool is_multi_label(const Json& config);
Activation config_activation(const Json& config, std::string_view key, std::string_view fallback);

// Widths of one layer after compression: compression_config.layers[layer] (0 = absent), else pruned_heads,
// else the uniform widths of the config. head_dim stays that of the uncompressed model.
struct LayerWidths {
  int64_t num_heads = 0, intermediate_size = 0;
  bool operator==(const LayerWidths&) const = default;
};
LayerWidths layer_widths(const Json& config, int layer, int64_t num_layers, LayerWidths uniform);

// True when config.json's "architectures" names a class that ends in `suffix` ("ForMaskedLM").
bool announces(const Json& config, std::string_view suffix);

// Number of labels: id2label, else num_labels, else the rows of `weight` when present, else 2.
int64_t count_labels(const Json& config, const TensorMap& tensors, const std::string& weight);

// Limits that keep a hostile config from asking for more than any real model has.
inline constexpr int64_t kMaxLayers = 1024, kMaxWidth = 1 << 17, kMaxVocab = 1 << 24, kMaxPositions = 1 << 20;

}  // namespace penjing
