#include "compress/model_sizes.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "model/compression_config.h"

namespace penjing {

namespace {

// The layer of a tensor, and the name within the layer; -1 for one of no layer.
std::pair<int, std::string_view> split_name(std::string_view name, std::string_view layer_prefix) {
  if (!name.starts_with(layer_prefix)) return {-1, name};
  const std::string_view rest = name.substr(layer_prefix.size());
  int layer = -1;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  const auto digits = static_cast<std::size_t>(end - rest.data());
  if (error != std::errc() || layer < 0 || digits == rest.size() || rest[digits] != '.') return {-1, name};
  return {layer, rest.substr(digits)};
}

}  // namespace

const SizeNames& size_names(const Model& model) {
  const Architecture* architecture = find_architecture(model.description.family);
  if (architecture == nullptr || architecture->sizes.layer_prefix == nullptr)
    fail(ErrorKind::kUnsupported, "{}: the sizes of this family cannot be changed", model.description.family);
  return architecture->sizes;
}

ModelSizes read_sizes(const Model& model) {
  const SizeNames& names = size_names(model);
  const int64_t heads = config_int(model.config, names.num_heads, 1, kMaxWidth);
  const int64_t intermediate = config_int(model.config, names.intermediate_size, 1, kMaxWidth);
  ModelSizes sizes;
  sizes.hidden = model.description.hidden_size;
  sizes.head_dim = sizes.hidden / heads;
  for (const Block& block : model.description.blocks) {
    if (const auto* spec = std::get_if<AttentionSpec>(&block.part)) sizes.head_dim = spec->head_dim;
  }
  sizes.attention = heads * sizes.head_dim;
  const int64_t count = model.description.num_layers;
  for (int layer = 0; layer < count; ++layer)
    sizes.layers.push_back(layer_widths(model.config, layer, count, {heads, intermediate}));
  return sizes;
}

void write_sizes(Model& model, const ModelSizes& sizes) {
  const SizeNames& names = size_names(model);
  if (sizes.head_dim < 1 || sizes.attention % sizes.head_dim != 0)
    fail(ErrorKind::kInternal, "attention width {} is not a multiple of {}", sizes.attention, sizes.head_dim);
  Json& config = model.config;
  const int64_t heads = sizes.attention / sizes.head_dim;
  const bool uniform = std::all_of(sizes.layers.begin(), sizes.layers.end(), [&](const LayerWidths& widths) {
    return widths.num_heads == heads && widths.intermediate_size > 0 &&
           widths.intermediate_size == sizes.layers.front().intermediate_size;
  });
  config.set(names.num_layers, static_cast<int64_t>(sizes.layers.size()));
  config.set(names.hidden_size, sizes.hidden);
  config.set(names.num_heads, heads);
  config.erase("pruned_heads");
  if (uniform) {
    erase_compression(config, "layers");
    if (!sizes.layers.empty()) config.set(names.intermediate_size, sizes.layers.front().intermediate_size);
  } else {
    Json layers = Json::array();
    for (const LayerWidths& widths : sizes.layers)
      layers.push_back(Json::object(
          {{"num_attention_heads", widths.num_heads}, {"intermediate_size", widths.intermediate_size}}));
    set_compression(config, "layers", layers);
  }
}

bool has_own_widths(const Model& model) {
  return find_compression(model.config, "layers") != nullptr;
}

Model keep_layers(const Model& model, const std::vector<int>& layers) {
  ModelSizes sizes = read_sizes(model);
  if (layers.size() == sizes.layers.size()) return model;
  const SizeNames& names = size_names(model);
  Model student = model;
  student.tensors = TensorMap();
  for (const auto& [name, tensor] : model.tensors) {
    const auto [layer, rest] = split_name(name, names.layer_prefix);
    if (layer < 0) {
      student.tensors.set(name, tensor);
      continue;
    }
    const auto found = std::find(layers.begin(), layers.end(), layer);
    if (found == layers.end()) continue;
    student.tensors.set(fmt::format("{}{}{}", names.layer_prefix, found - layers.begin(), rest), tensor);
  }
  std::vector<LayerWidths> widths;
  for (const int layer : layers) widths.push_back(sizes.layers.at(static_cast<std::size_t>(layer)));
  sizes.layers = widths;
  write_sizes(student, sizes);
  student.description = describe(student.config, student.tensors);
  return student;
}

}  // namespace penjing
