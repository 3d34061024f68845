#include "distill/byot_objective.h"

#include <algorithm>

#include "distill/outputs_tap.h"
#include "distill/sequence_numerics.h"
#include "distill/soft_targets.h"
#include "model/exits.h"
#include "train/head_parts.h"
#include "train/packed_batch.h"

namespace penjing::distill {

namespace {

constexpr uint32_t kExitSite = 0xFFFF0200;  // + layer: of the dropout's random streams

// The examples' tokens, end to end, as train::pack() lays them.
struct Packed {
  std::vector<int64_t> offsets = {0};
  at::Tensor begins, keys;  // of each example: where its tokens begin, the key of that row
};
Packed packed_tokens(const train::Objective& task, std::span<const int64_t> examples, at::Device device) {
  Packed packed;
  std::vector<int64_t> keys;
  for (const int64_t i : examples) {
    keys.push_back(train::row_key(i, 0));
    packed.offsets.push_back(packed.offsets.back() +
                             static_cast<int64_t>(task.sequences(i).front().ids.size()));
  }
  const at::ArrayRef<int64_t> begins(packed.offsets.data(), keys.size());
  packed.begins = at::tensor(begins, at::kLong).to(device);
  packed.keys = at::tensor(keys, at::kLong).to(device);
  return packed;
}

// The mean of each example's rows, summed in FP32, in the rows' type.
at::Tensor means(const at::Tensor& rows, const Packed& packed) {
  return sequence_means(rows.to(at::kFloat), packed.offsets).to(rows.scalar_type());
}

}  // namespace

ByotObjective::ByotObjective(std::unique_ptr<train::Objective> task, const HeadSpec& classifier,
                             ExitLearning learning, double label_smoothing)
    : ObjectiveAround(std::move(task)),
      classifier_(classifier),
      learning_(std::move(learning)),
      label_smoothing_(label_smoothing) {}

train::LossSum ByotObjective::loss(const train::Network& network, const train::ForwardContext& context,
                                   std::span<const int64_t> examples, int64_t epoch) const {
  const std::vector<int64_t>& layers = learning_.layers;
  const int64_t last = network.model->description.num_layers;
  const bool features = learning_.feature_weight > 0;
  OutputsTap tap(network.model->description,
                 {[&](int64_t layer) {
                    const bool is_exit = std::find(layers.begin(), layers.end(), layer) != layers.end();
                    return is_exit || (features && layer == last) ? unsigned{kRows} : 0u;
                  },
                  kLogits},
                 context.tap);
  train::ForwardContext watched = context;
  watched.tap = &tap;
  train::LossSum result = task().loss(network, watched, examples, epoch);
  const Outputs outputs = tap.take();

  const at::Device device = network.device();
  const Packed packed = packed_tokens(task(), examples, device);
  std::vector<int64_t> classes;
  std::vector<float> weights;
  for (const int64_t i : examples) {
    classes.push_back(task().class_of(i));
    weights.push_back(static_cast<float>(task().weight(i)));
  }
  const at::Tensor truth = at::tensor(classes, at::kLong).to(device);
  const at::Tensor weight = at::tensor(weights, at::kFloat).to(device);
  const at::Tensor deepest = outputs.logits.to(at::kFloat).detach();
  at::Tensor deepest_features;
  const auto rows_of = [&](int64_t layer) { return outputs.layers[static_cast<std::size_t>(layer)].rows; };
  const auto read = [&](int64_t layer) {
    return learning_.input == ExitInput::kMean ? means(rows_of(layer), packed)
                                               : rows_of(layer).index_select(0, packed.begins);
  };
  if (features) {
    const at::NoGradGuard constant;
    deepest_features = head_features(network.parameters, classifier_,
                                     rows_of(last).index_select(0, packed.begins), packed.keys, context)
                           .to(at::kFloat)
                           .detach();
  }

  const double soft = learning_.soft_share, temperature = learning_.temperature;
  double of_exits = 0, right = 0;
  for (const int64_t layer : layers) {
    const HeadSpec head = exit_head(classifier_, layer);
    const at::Tensor own = head_features(network.parameters, head, read(layer), packed.keys, context);
    const at::Tensor logits = head_scores(network.parameters, head, own, packed.keys,
                                          kExitSite + static_cast<uint32_t>(layer), context);
    at::Tensor loss =
        at::cross_entropy_loss(logits, truth, {}, at::Reduction::None, -100, label_smoothing_) * (1 - soft);
    if (soft > 0) {
      loss = loss + soft_target_loss(logits, deepest, temperature, Divergence::kKl) *
                        (soft * temperature * temperature);
    }
    if (features)
      loss = loss + (own.to(at::kFloat) - deepest_features).square().mean({1}) * learning_.feature_weight;
    result.sum = result.sum + (loss * weight).sum();
    of_exits += loss.mean().item<double>();
    right += logits.argmax(1).eq(truth).to(at::kFloat).mean().item<double>();
  }
  const auto count = static_cast<double>(layers.size());
  result.details.emplace_back("exits", of_exits / count);
  result.details.emplace_back("exits_accuracy", right / count);
  return result;
}

void ByotObjective::finish(const train::Network& network, const train::ForwardContext& context,
                           Model& model) const {
  task().finish(network, context, model);
  set_exits(model, learning_.layers, learning_.input);
}

}  // namespace penjing::distill
