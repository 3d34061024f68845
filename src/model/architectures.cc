#include "model/architectures.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/error.h"
#include "model/compression_config.h"

namespace penjing {

#define PENJING_ARCHITECTURE(name) extern const Architecture name##_architecture;
#include "model/architectures.def"
#undef PENJING_ARCHITECTURE

namespace {
const std::array kArchitectures = {
#define PENJING_ARCHITECTURE(name) &name##_architecture,
#include "model/architectures.def"
#undef PENJING_ARCHITECTURE
};

std::string where(std::string_view key) {
  return fmt::format("config.json: {}", key);
}
}  // namespace

const Architecture* find_architecture(std::string_view model_type) {
  for (const Architecture* architecture : kArchitectures) {
    if (model_type == architecture->model_type) return architecture;
  }
  return nullptr;
}

std::string architecture_names() {
  std::string names;
  for (const Architecture* architecture : kArchitectures) {
    names += (names.empty() ? "" : ", ") + std::string(architecture->model_type);
  }
  return names;
}

int64_t config_int(const Json& config, std::string_view key, int64_t min, int64_t max) {
  const Json* value = config.find(key);
  if (value == nullptr)
    fail(ErrorKind::kFormat, "config.json: {} is missing; wanted an integer in [{}, {}]", key, min, max);
  const int64_t number = value->as_int(where(key));
  if (number < min || number > max) {
    fail(ErrorKind::kFormat, "config.json: {} is {}; wanted an integer in [{}, {}]", key, number, min, max);
  }
  return number;
}

int64_t config_int_or(const Json& config, std::string_view key, int64_t fallback, int64_t min, int64_t max) {
  const Json* value = config.find(key);
  return value == nullptr || value->is_null() ? fallback : config_int(config, key, min, max);
}

double config_double_or(const Json& config, std::string_view key, double fallback, double min, double max) {
  const Json* value = config.find(key);
  if (value == nullptr || value->is_null()) return fallback;
  const double number = value->as_double(where(key));
  if (!(number >= min && number <= max)) {
    fail(ErrorKind::kFormat, "config.json: {} is {}; wanted a number in [{}, {}]", key, number, min, max);
  }
  return number;
}

bool config_bool_or(const Json& config, std::string_view key, bool fallback) {
  const Json* value = config.find(key);
  return value == nullptr || value->is_null() ? fallback : value->as_bool(where(key));
}

std::string config_string_or(const Json& config, std::string_view key, std::string_view fallback) {
  const Json* value = config.find(key);
  return value == nullptr || value->is_null() ? std::string(fallback) : value->as_string(where(key));
}

int64_t config_heads(const Json& config, std::string_view key, std::string_view width_key) {
  const int64_t width = config_int(config, width_key, 1, kMaxWidth);
  const int64_t heads = config_int(config, key, 1, kMaxWidth);
  if (width % heads != 0) {
    fail(ErrorKind::kFormat, "config.json: {} {} is not a multiple of {} {}", width_key, width, key, heads);
  }
  return heads;
}

bool is_multi_label(const Json& config) {
  return config_string_or(config, "problem_type", "") == "multi_label_classification";
}

Activation config_activation(const Json& config, std::string_view key, std::string_view fallback) {
  const std::string name = config_string_or(config, key, fallback);
  if (name == "gelu" || name == "gelu_python") return Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_fast" || name == "gelu_pytorch_tanh") return Activation::kGeluTanh;
  if (name == "relu") return Activation::kRelu;
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "tanh") return Activation::kTanh;
  fail(ErrorKind::kUnsupported,
       "config.json: {} is \"{}\"; supported: gelu, gelu_new, gelu_pytorch_tanh, relu, silu, tanh", key,
       name);
}

LayerWidths layer_widths(const Json& config, int layer, int64_t num_layers, LayerWidths uniform) {
  if (const Json* layers = find_compression(config, "layers")) {
    const auto& list = layers->as_array("config.json: compression_config.layers");
    if (static_cast<int64_t>(list.size()) != num_layers) {
      fail(ErrorKind::kFormat,
           "config.json: compression_config.layers has {} entries; the model has {} layers", list.size(),
           num_layers);
    }
    const Json& entry = list[static_cast<std::size_t>(layer)];
    (void)entry.as_object(fmt::format("config.json: compression_config.layers[{}]", layer));
    return {config_int_or(entry, "num_attention_heads", uniform.num_heads, 0, kMaxWidth),
            config_int_or(entry, "intermediate_size", uniform.intermediate_size, 0, kMaxWidth)};
  }
  if (const Json* pruned = config.find("pruned_heads"); pruned != nullptr && !pruned->is_null()) {
    (void)pruned->as_object("config.json: pruned_heads");
    if (const Json* heads = pruned->find(std::to_string(layer))) {
      std::set<int64_t> removed;
      for (const Json& head : heads->as_array("config.json: pruned_heads")) {
        const int64_t index = head.as_int("config.json: pruned_heads");
        if (index < 0 || index >= uniform.num_heads || !removed.insert(index).second) {
          fail(ErrorKind::kFormat,
               "config.json: pruned_heads of layer {} lists head {}; wanted distinct heads in [0, {})", layer,
               index, uniform.num_heads);
        }
      }
      uniform.num_heads -= static_cast<int64_t>(removed.size());
    }
  }
  return uniform;
}

bool announces(const Json& config, std::string_view suffix) {
  const Json* list = config.find("architectures");
  if (list == nullptr || list->is_null()) return false;
  for (const Json& name : list->as_array("config.json: architectures")) {
    if (name.as_string("config.json: architectures").ends_with(suffix)) return true;
  }
  return false;
}

int64_t count_labels(const Json& config, const TensorMap& tensors, const std::string& weight) {
  constexpr int64_t kMaxLabels = 1 << 20;
  if (const Json* labels = config.find("id2label"); labels != nullptr && !labels->is_null()) {
    const auto count = static_cast<int64_t>(labels->as_object("config.json: id2label").size());
    if (count < 1 || count > kMaxLabels) {
      fail(ErrorKind::kFormat, "config.json: id2label has {} entries; wanted 1 to {}", count, kMaxLabels);
    }
    return count;
  }
  if (config.contains("num_labels")) return config_int(config, "num_labels", 1, kMaxLabels);
  if (const Tensor* tensor = tensors.find(weight); tensor != nullptr && tensor->shape.size() == 2) {
    return tensor->shape[0];
  }
  return 2;
}

}  // namespace penjing
