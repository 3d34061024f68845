#include "distill/byot.h"

#include "base/error.h"
#include "base/parse.h"
#include "distill/byot_objective.h"
#include "model/architectures.h"
#include "model/exits.h"
#include "train/new_head.h"
#include "train/prepared_training.h"

namespace penjing::distill {

namespace {

std::vector<int64_t> layers_of(const ExitLearning& learning, int64_t num_layers) {
  if (num_layers < 2)
    fail(ErrorKind::kInput, "byot: {} layers: there is none that is not the last", num_layers);
  std::vector<int64_t> layers = learning.layers;
  for (int64_t layer = 1; learning.layers.empty() && layer < num_layers; ++layer) layers.push_back(layer);
  int64_t before = 0;
  for (const int64_t layer : layers) {
    if (layer <= before || layer >= num_layers) {
      fail(ErrorKind::kInput, "byot: exits: {} after {}; wanted ascending numbers of layers from 1 to {}",
           layer, before, num_layers - 1);
    }
    before = layer;
  }
  return layers;
}

void require_classes(const train::Objective& objective) {
  if (!objective.has_loss() || objective.is_stream() || !objective.is_sum())
    fail(ErrorKind::kInput, "byot: these texts have no labels");
  for (int64_t i = 0; i < objective.num_examples(); ++i) {
    if (objective.class_of(i) < 0)
      fail(ErrorKind::kUnsupported, "byot: the task's examples have no class each, which exits learn");
  }
}

void add_parameters(const HeadSpec& head, double deviation, uint64_t seed, train::Parameters& parameters) {
  const auto add = [&](const LinearSpec& spec) {
    const std::string weight = spec.name + ".weight";
    parameters.add(weight,
                   train::to_torch(train::draw_normal({spec.out, spec.in}, deviation, seed, weight), weight));
    if (spec.bias) parameters.add(spec.name + ".bias", at::zeros({spec.out}, at::kFloat));
  };
  if (head.has_dense) add(head.dense);
  add(head.projection);
}

void prepare(const ByotSettings& settings, train::TaskStart& start) {
  const Model& model = *start.network.model;
  require_classes(*start.objective);
  ExitLearning learning = settings.exits;
  learning.layers = layers_of(learning, model.description.num_layers);
  check_exits(learning.layers, model);
  const HeadSpec& classifier = *model.description.find_head(HeadKind::kSequenceClassifier);
  const double deviation = config_double_or(model.config, "initializer_range", 0.02, 0, 1);
  Json layers = Json::array();
  std::string behind;
  for (const int64_t layer : learning.layers) {
    add_parameters(exit_head(classifier, layer), deviation, start.input.seed, start.network.parameters);
    layers.push_back(layer);
    behind += fmt::format("{}{}", behind.empty() ? "" : ", ", layer);
  }
  start.tell(fmt::format("exits behind layer {} of {}; {} parameters with them\n", behind,
                         model.description.num_layers, start.network.parameters.num_elements()));
  start.origin.set("byot", Json::object({{"exits", layers},
                                         {"input", name_of(learning.input)},
                                         {"soft_share", learning.soft_share},
                                         {"temperature", learning.temperature},
                                         {"feature_weight", learning.feature_weight}}));
  const Json* smoothing = start.input.params.find("label_smoothing");
  start.objective = std::make_unique<ByotObjective>(
      std::move(start.objective), classifier, std::move(learning),
      smoothing != nullptr && smoothing->is_number() ? smoothing->as_double("label_smoothing") : 0);
}

void require_plain(const train::FinetuneSettings& training) {
  if (training.fake_quant)
    fail(ErrorKind::kUnsupported, "byot: quantize_aware: quantize the result (penjing quantize)");
}

}  // namespace

std::vector<int64_t> read_exit_layers(const std::string& text) {
  return text == "all" ? std::vector<int64_t>() : parse_integers(text, "exits", 1, kMaxLayers);
}

train::FinetuneResult byot(const ByotSettings& settings, const std::function<void(const std::string&)>& tell,
                           const std::function<void(const train::StepLog&)>& on_step) {
  require_plain(settings.training);
  return train::train_prepared(
      "byot", settings.training, [&](train::TaskStart& start) { prepare(settings, start); }, tell, on_step);
}

train::TrainedModel byot_step(const Model& model, const ByotSettings& settings,
                              const std::filesystem::path& folder,
                              const std::function<void(const std::string&)>& tell) {
  require_plain(settings.training);
  return train::train_prepared_step(
      model, settings.training, [&](train::TaskStart& start) { prepare(settings, start); }, folder, tell);
}

}  // namespace penjing::distill
