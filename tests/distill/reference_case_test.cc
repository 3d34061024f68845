// Reading of the cases that other tests compare with.
#include "tests/distill/reference_case.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/mapped_file.h"

namespace penjing::distill::testing {

namespace {

constexpr const char* kPrefix = "distill.test.";

double drawn(uint64_t seed, uint64_t i) {
  uint64_t z = (seed << 32) + i + 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  z ^= z >> 31;
  return static_cast<double>(z >> 48) / 32768 - 1;
}

std::vector<int64_t> integers(const Json* list) {
  std::vector<int64_t> out;
  if (list == nullptr) return out;
  for (const Json& item : list->as_array("list")) out.push_back(item.as_int("list"));
  return out;
}

double number(const Json& json, const char* key, double fallback) {
  const Json* value = json.find(key);
  return value == nullptr ? fallback : value->as_double(key);
}

std::vector<std::string> parts_of(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

void place(Side& side, const std::vector<std::string>& name, const at::Tensor& tensor) {
  if (name[1] == "logits") {
    side.logits = tensor;
  } else if (name[1] == "embeddings") {
    side.embeddings = tensor;
  } else {
    const auto layer = static_cast<std::size_t>(std::stoul(name[1]));
    if (side.layers.size() <= layer) side.layers.resize(layer + 1);
    LayerOutputs& out = side.layers[layer];
    if (name[2] == "rows") out.rows = tensor;
    if (name[2] == "query") out.query = tensor;
    if (name[2] == "key") out.key = tensor;
    if (name[2] == "value") out.value = tensor;
    if (name[2] == "scores") out.scores.push_back(tensor);  // in the order of sequences
  }
}

}  // namespace

std::vector<double> doubles(const Json& list) {
  std::vector<double> out;
  for (const Json& item : list.as_array("list")) out.push_back(item.as_double("list"));
  return out;
}

std::vector<const Json*> reference_cases() {
  static const std::vector<Json> files = [] {
    std::vector<Json> read;
    for (const char* part : {"vectors", "layers"}) {
      const std::string path =
          std::string(PENJING_SOURCE_DIR) + "/tests/data/distill_losses_" + part + ".json";
      read.push_back(Json::parse(read_text_file(path, 1 << 20), path));
    }
    return read;
  }();
  std::vector<const Json*> cases;
  for (const Json& file : files) {
    for (const Json& item : file.find("cases")->as_array("cases")) cases.push_back(&item);
  }
  return cases;
}

at::Tensor ReferenceCase::make(const Json& spec, at::ScalarType type) const {
  at::Tensor out = at::empty(integers(spec.find("shape")), at::kDouble);
  const auto seed = static_cast<uint64_t>(spec.find("seed")->as_int("seed"));
  auto* values = out.data_ptr<double>();
  for (int64_t i = 0; i < out.numel(); ++i) {
    values[i] = number(spec, "scale", 1) * drawn(seed, static_cast<uint64_t>(i)) + number(spec, "offset", 0);
  }
  for (const int64_t row : integers(spec.find("zero_rows"))) out[row].zero_();
  if (const Json* absent = spec.find("absent"); absent != nullptr) {
    for (const Json& at : absent->as_array("absent")) {
      out[integers(&at)[0]][integers(&at)[1]].fill_(-std::numeric_limits<double>::infinity());
    }
  }
  return out.to(type);
}

ReferenceCase::ReferenceCase(const Json& json, at::ScalarType type) : json_(json) {
  offsets_ = {0};
  for (const int64_t length : integers(json.find("lengths"))) offsets_.push_back(offsets_.back() + length);
  if (offsets_.size() == 1) offsets_.clear();
  examples_ = integers(json.find("examples"));
  example_labels_ = integers(json.find("example_labels"));
  if (json.contains("labels")) labels_ = at::tensor(integers(json.find("labels")), at::kLong);
  for (const auto& [name, spec] : json.find("tensors")->as_object("tensors")) {
    at::Tensor tensor = make(spec, type);
    if (name.starts_with("student.")) {
      tensor.requires_grad_();
      inputs_.emplace_back(name, tensor);
    }
    place(name.starts_with("student.") ? student_ : teacher_, parts_of(name), tensor);
  }
  if (const Json* heads = json.find("heads"); heads != nullptr) {
    for (LayerOutputs& layer : student_.layers) layer.num_heads = integers(heads)[0];
    for (LayerOutputs& layer : teacher_.layers) layer.num_heads = integers(heads)[1];
  }

  LossSetup setup;
  setup.parameters = &parameters_;
  setup.prefix = kPrefix;
  setup.type = type;
  for (std::size_t i = 0; i < student_.layers.size(); ++i) {
    PlaceSizes& sizes = setup.places.emplace_back();
    if (student_.layers[i].rows.defined()) {
      sizes = {student_.layers[i].rows.size(1), teacher_.layers[i].rows.size(1)};
    }
  }
  if (student_.embeddings.defined()) {
    setup.student_embedding = student_.embeddings.size(1);
    setup.teacher_embedding = teacher_.embeddings.size(1);
  }
  setup.num_examples = static_cast<int64_t>(number(json, "num_examples", 0));
  setup.example_labels = example_labels_;
  const LossKind* kind = find_loss(json.find("loss")->as_string("loss"));
  loss_ = kind->make(resolve_loss_params(*kind, *json.find("params")), setup);

  const at::NoGradGuard no_gradient;
  const Json::Object& specs = json.find("parameters")->as_object("parameters");
  EXPECT_EQ(parameters_.size(), specs.size()) << name();
  for (const auto& [parameter, spec] : specs) {
    const at::Tensor values = make(spec, type);
    EXPECT_EQ(parameters_.at(kPrefix + parameter).sizes(), values.sizes()) << name() << " " << parameter;
    at::Tensor into = parameters_.at(kPrefix + parameter);
    into.copy_(values);
  }
  if (const Json* state = json.find("state"); state != nullptr) {
    TensorMap tensors;
    for (const auto& [key, spec] : state->as_object("state")) {
      const at::Tensor values =
          spec.is_array() ? at::tensor(doubles(spec), at::kDouble).to(type) : make(spec, type);
      tensors.set(std::string(kPrefix) + "0." + key, train::from_torch(values));
    }
    loss_->restore(tensors);
  }
}

LossInput ReferenceCase::input(bool training) const {
  LossInput input{student_, teacher_, offsets_, examples_, labels_, {}, 0, training, true};
  const Json* seed = json_.find("seed");
  input.random.seed = seed == nullptr ? 1 : static_cast<uint64_t>(seed->as_int("seed"));
  input.random.step = static_cast<uint64_t>(number(json_, "step", 0));
  input.progress = number(json_, "progress", 0);
  return input;
}

void ReferenceCase::move_to(at::Device device) {
  const auto move = [&](at::Tensor& x) {
    if (!x.defined()) return;
    at::Tensor moved = x.detach().to(device).requires_grad_(x.requires_grad());
    for (auto& [name, input] : inputs_) {
      if (input.is_same(x)) input = moved;
    }
    x = moved;
  };
  for (Side* side : {&student_, &teacher_}) {
    move(side->logits), move(side->embeddings);
    for (LayerOutputs& layer : side->layers) {
      move(layer.rows), move(layer.query), move(layer.key), move(layer.value);
      for (at::Tensor& scores : layer.scores) move(scores);
    }
  }
  move(labels_);
  parameters_.move_to(device);
}

at::Tensor ReferenceCase::value(bool training) {
  return loss_->value(input(training));
}

std::vector<std::pair<std::string, at::Tensor>> ReferenceCase::leaves() const {
  std::vector<std::pair<std::string, at::Tensor>> out = inputs_;
  for (const train::Parameters::Entry& entry : parameters_) {
    out.emplace_back("parameter." + entry.name.substr(std::string_view(kPrefix).size()), entry.tensor);
  }
  return out;
}

std::string ReferenceCase::name() const {
  return json_.find("name")->as_string("name");
}

TEST(ReferenceCases, DrawsAreTheScriptsAndExactInSinglePrecision) {
  // draw(1, 3) of the script.
  EXPECT_EQ(drawn(1, 0), 0.532592773437500);
  for (uint64_t i = 0; i < 100; ++i)
    EXPECT_EQ(static_cast<double>(static_cast<float>(drawn(7, i))), drawn(7, i));
}

}  // namespace penjing::distill::testing
