#include "model/exits.h"

#include <algorithm>

#include "base/error.h"
#include "model/architectures.h"
#include "model/compression_config.h"
#include "model/cost.h"

namespace penjing {

namespace {

constexpr const char* kWhere = "config.json: compression_config.exits";

// The value that leaves the first `layer` layers.
int value_behind(const Description& d, int64_t layer) {
  int value = 0;
  for (std::size_t i = 0; i < d.blocks.size(); ++i) {
    if (d.blocks[i].layer < layer) value = static_cast<int>(i) + 1;
  }
  return value;
}

// The layers, ascending, and what is read of them.
struct Listed {
  std::vector<int64_t> layers;
  ExitInput input = ExitInput::kFirstToken;
};
Listed read_list(const Json& exits) {
  Listed listed;
  const Json* layers = &exits;
  if (exits.is_object()) {
    layers = exits.find("layers");
    const Json* input = exits.find("input");
    const char* mean = name_of(ExitInput::kMean);
    if (layers == nullptr || input == nullptr || !input->is_string() || input->as_string(kWhere) != mean)
      fail(ErrorKind::kFormat, "{}: {}; wanted layers, and the input \"{}\"", kWhere, exits.dump(), mean);
    listed.input = ExitInput::kMean;
  }
  for (const Json& layer : layers->as_array(kWhere)) listed.layers.push_back(layer.as_int(kWhere));
  return listed;
}

}  // namespace

const char* name_of(ExitInput input) {
  return input == ExitInput::kMean ? "mean" : "first";
}

HeadSpec exit_head(const HeadSpec& classifier, int64_t layer) {
  HeadSpec head = classifier;
  const std::string base = fmt::format("exits.{}.", layer);
  if (head.has_dense) head.dense.name = base + "dense";
  head.projection.name = base + "classifier";
  return head;
}

void check_exits(const std::vector<int64_t>& layers, const Model& model) {
  const HeadSpec* classifier = model.description.find_head(HeadKind::kSequenceClassifier);
  if (classifier == nullptr || !classifier->has_projection || !classifier->projection_bias.empty() ||
      classifier->input != HeadInput::kFirstToken) {
    fail(ErrorKind::kFormat, "{}: the model has no classifier of its first token", kWhere);
  }
  if (classifier->projection.out < 2 || is_multi_label(model.config))
    fail(ErrorKind::kFormat, "{}: the model's classifier does not choose one of several classes", kWhere);
  const int64_t most = model.description.num_layers - 1;
  int64_t last = 0;
  for (const int64_t layer : layers) {
    if (layer <= last || layer > most) {
      fail(ErrorKind::kFormat, "{}: {} after {}; wanted ascending numbers of layers from 1 to {}", kWhere,
           layer, last, most);
    }
    last = layer;
  }
}

std::vector<ExitSpec> read_exits(const Model& model) {
  const Json* list = find_compression(model.config, kExitsKey);
  if (list == nullptr) return {};
  const auto [layers, input] = read_list(*list);
  if (layers.empty()) return {};
  check_exits(layers, model);
  const HeadSpec& classifier = *model.description.find_head(HeadKind::kSequenceClassifier);
  std::vector<ExitSpec> exits;
  for (const int64_t layer : layers)
    exits.push_back({layer, value_behind(model.description, layer), exit_head(classifier, layer), input});
  return exits;
}

void set_exits(Model& model, const std::vector<int64_t>& layers, ExitInput input) {
  Json list = Json::array();
  for (const int64_t layer : layers) list.push_back(layer);
  if (input == ExitInput::kMean) list = Json::object({{"layers", list}, {"input", name_of(input)}});
  set_compression(model.config, kExitsKey, list);
}

bool drop_exits(Model& model) {
  if (find_compression(model.config, kExitsKey) == nullptr) return false;
  std::vector<std::string> gone;
  for (const auto& [name, tensor] : model.tensors) {
    if (name.starts_with("exits.")) gone.push_back(name);
  }
  for (const std::string& name : gone) model.tensors.erase(name);
  erase_compression(model.config, kExitsKey);
  return true;
}

int64_t count_parameters(const ExitSpec& exit) {
  const auto of = [](const LinearSpec& spec) { return spec.in * spec.out + (spec.bias ? spec.out : 0); };
  return (exit.head.has_dense ? of(exit.head.dense) : 0) + of(exit.head.projection);
}

int64_t flops_until(const Description& d, const std::vector<ExitSpec>& exits, int64_t sequence_length,
                    int64_t layer, int64_t first_exit) {
  int64_t flops = 0;
  for (const PartCost& cost : measure_cost(d, sequence_length)) {
    const bool met = cost.layer >= 0 ? cost.layer < layer : cost.part == "embeddings";
    flops += met ? cost.flops : 0;
  }
  const auto classifier = [](const HeadSpec& head) {
    return (head.has_dense ? 2 * head.dense.in * head.dense.out : 0) +
           2 * head.projection.in * head.projection.out;
  };
  for (const ExitSpec& exit : exits) {
    if (first_exit > 0 && exit.layer >= first_exit && exit.layer <= layer) flops += classifier(exit.head);
  }
  const HeadSpec* last = d.find_head(HeadKind::kSequenceClassifier);
  return flops + (layer == d.num_layers && last != nullptr ? classifier(*last) : 0);
}

}  // namespace penjing
