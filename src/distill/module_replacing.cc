#include "distill/module_replacing.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/error.h"
#include "model/block_parts.h"

namespace penjing::distill {

namespace {

constexpr const char* kPredecessor = "predecessor.";  // before the names of the teacher's modules

// Names of the modules of a block that have parameters.
std::vector<std::string*> module_names(Block& block) {
  std::vector<std::string*> names;
  for (NormSpec* spec : norms_of(block)) names.push_back(&spec->name);
  for (LinearSpec* spec : linears_of(block)) names.push_back(&spec->name);
  return names;
}

// The values that a block reads.
std::vector<int*> read_values(Block& block) {
  std::vector<int*> values = {&block.input};
  if (block.residual != kNoValue) values.push_back(&block.residual);
  auto* attention = std::get_if<AttentionSpec>(&block.part);
  if (attention != nullptr && attention->query_key_input != kNoValue)
    values.push_back(&attention->query_key_input);
  return values;
}

// The blocks of each layer; block i makes value i + 1, so a layer that begins with block b reads value b.
std::vector<std::vector<Block>> split_layers(const Description& d) {
  std::vector<std::vector<Block>> layers(static_cast<std::size_t>(d.num_layers));
  int first = 0;
  for (std::size_t i = 0; i < d.blocks.size(); ++i) {
    Block block = d.blocks[i];
    if (i > 0 && block.layer != d.blocks[i - 1].layer) first = static_cast<int>(i);
    const bool in_order =
        block.layer >= 0 && block.layer < d.num_layers && (i == 0 || block.layer >= d.blocks[i - 1].layer);
    bool alone = in_order && d.output == static_cast<int>(d.blocks.size());
    for (int* value : read_values(block)) {
      *value -= first;
      alone = alone && *value >= 0;
    }
    if (!alone) {
      fail(ErrorKind::kUnsupported, "{}: {} reads more than the layer before: its layer cannot be replaced",
           d.family, block.name);
    }
    layers[static_cast<std::size_t>(block.layer)].push_back(std::move(block));
  }
  return layers;
}

// What is no layer must be the same on both sides.
void require_same_rest(const train::Network& student, const std::vector<std::vector<Block>>& layers,
                       const train::Parameters& teacher) {
  std::set<std::string> modules;
  for (const std::vector<Block>& layer : layers) {
    for (Block block : layer) {
      for (const std::string* name : module_names(block)) modules.insert(*name);
    }
  }
  for (const train::Parameters::Entry& entry : student.parameters) {
    if (modules.contains(entry.name.substr(0, entry.name.rfind('.')))) continue;
    const at::Tensor other = teacher.get_or_undefined(entry.name);
    if (!other.defined() || other.sizes() != entry.tensor.sizes() || !other.equal(entry.tensor)) {
      fail(
          ErrorKind::kInput,
          "{} is not the teacher's: embeddings and heads must be (carve the student from it: penjing student "
          "TEACHER --layers N --from first)",
          entry.name);
    }
  }
}

}  // namespace

std::vector<int64_t> layer_groups(const std::vector<int64_t>& given, int64_t student_layers,
                                  int64_t teacher_layers) {
  if (given.empty()) {
    if (student_layers < 1 || teacher_layers % student_layers != 0) {
      fail(ErrorKind::kInput,
           "{} layers of the teacher cannot be divided among {}: say how many each stands for (groups)",
           teacher_layers, student_layers);
    }
    return std::vector<int64_t>(static_cast<std::size_t>(student_layers), teacher_layers / student_layers);
  }
  const int64_t sum = std::accumulate(given.begin(), given.end(), int64_t{0});
  const bool positive = std::all_of(given.begin(), given.end(), [](int64_t n) { return n > 0; });
  if (static_cast<int64_t>(given.size()) != student_layers || sum != teacher_layers || !positive) {
    fail(ErrorKind::kInput, "groups: {} of {} layers in all; wanted {} of {}, each of 1 or more",
         given.size(), sum, student_layers, teacher_layers);
  }
  return given;
}

ReplaceableModules::ReplaceableModules(const train::Network& student, const Model& teacher,
                                       const train::Parameters& teacher_parameters,
                                       const std::vector<int64_t>& groups)
    : successors_(split_layers(student.model->description)), model_(*student.model) {
  const Description& own = student.model->description;
  if (own.hidden_size != teacher.description.hidden_size) {
    fail(ErrorKind::kInput, "the teacher's hidden states have width {}, the student's {}",
         teacher.description.hidden_size, own.hidden_size);
  }
  require_same_rest(student, successors_, teacher_parameters);
  model_.tensors = TensorMap();
  network_.parameters = student.parameters;  // the same tensors
  std::vector<Layer> layers = split_layers(teacher.description);
  auto next = layers.begin();
  for (std::size_t i = 0; i < groups.size(); ++i) {
    std::vector<Layer>& group = predecessors_.emplace_back(next, next + groups[i]);
    next += groups[i];
    for (Layer& layer : group) {
      for (Block& block : layer) {
        block.layer = static_cast<int>(i);
        block.name = kPredecessor + block.name;
        for (std::string* name : module_names(block)) {
          for (const char* part : {".weight", ".bias"}) {
            const at::Tensor tensor = teacher_parameters.get_or_undefined(*name + part);
            if (tensor.defined()) network_.parameters.add(kPredecessor + *name + part, tensor);
          }
          *name = kPredecessor + *name;
        }
      }
    }
  }
  for (const train::Parameters::Entry& entry : network_.parameters) {
    at::Tensor tensor = entry.tensor;
    if (entry.name.starts_with(kPredecessor)) tensor.set_requires_grad(false);
  }
}

void ReplaceableModules::append(const Layer& layer) {
  std::vector<Block>& blocks = model_.description.blocks;
  const auto entered = static_cast<int>(blocks.size());
  for (Block block : layer) {
    for (int* value : read_values(block)) *value += entered;
    blocks.push_back(std::move(block));
  }
}

const train::Network& ReplaceableModules::network(const std::vector<bool>& replaced) {
  model_.description.blocks.clear();
  for (std::size_t i = 0; i < successors_.size(); ++i) {
    if (replaced[i]) {
      append(successors_[i]);
    } else {
      for (const Layer& layer : predecessors_[i]) append(layer);
    }
  }
  model_.description.output = static_cast<int>(model_.description.blocks.size());
  network_.model = &model_;
  network_.encoder = std::make_unique<train::Encoder>(model_.description, network_.parameters);
  return network_;
}

}  // namespace penjing::distill
