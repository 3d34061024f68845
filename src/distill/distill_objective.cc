#include "distill/distill_objective.h"

#include "base/error.h"
#include "distill/turns.h"

namespace penjing::distill {

DistillObjective::DistillObjective(std::unique_ptr<train::Objective> task, Teachers teachers,
                                   Connections connections, double label_weight)
    : ObjectiveAround(std::move(task)),
      teachers_(std::move(teachers)),
      connections_(std::move(connections)),
      label_weight_(label_weight) {}

double DistillObjective::layer_rate(int64_t layer, double progress) const {
  return label_weight_ > 0 ? 1 : rate_of_layer(connections_.plan(), layer, progress);
}

bool DistillObjective::is_sum() const {
  return task().is_sum() && connections_.sums_over_examples();
}

train::LossSum DistillObjective::loss(const train::Network& network, const train::ForwardContext& context,
                                      std::span<const int64_t> examples, int64_t epoch) const {
  const double progress = context.progress;
  const unsigned whole = connections_.whole_needs(progress);
  OutputsTap tap(network.model->description,
                 {[&](int64_t layer) { return connections_.student_needs(layer, progress); }, whole},
                 context.tap);
  train::ForwardContext watched = context;
  watched.tap = &tap;
  train::LossSum result = task().loss(network, watched, examples, epoch);
  const Outputs student = tap.take();
  const Outputs teacher = teachers_.run(
      task(), {[&](int64_t layer) { return connections_.teacher_needs(layer, progress); }, whole}, context,
      examples, epoch);

  std::vector<int64_t> offsets = {0}, classes;
  double weight = 0;
  for (const int64_t i : examples) {
    for (const train::Sequence& sequence : task().sequences(i)) {
      offsets.push_back(offsets.back() + static_cast<int64_t>(sequence.ids.size()));
    }
    weight += task().weight(i);
    classes.push_back(task().class_of(i));
  }
  // Of token logits there are no labels: masked words alone have logits here.
  const DistillBatch batch{student,
                           teacher,
                           offsets,
                           examples,
                           at::tensor(classes, at::kLong).to(network.device()),
                           at::Tensor(),
                           context.random,
                           progress,
                           context.training};
  const std::vector<PlannedLoss> losses = connections_.losses(batch);
  // A gradient of zeros is no gradient that is missing: momentum and weight decay go on.
  if (label_weight_ == 0 && !losses.empty() && has_turns(connections_.plan()))
    result.sum = result.sum.detach();
  result.sum = result.sum * label_weight_;
  for (const PlannedLoss& loss : losses) {
    result.sum = result.sum + loss.value.to(at::kFloat) * (loss.weight * weight);
    result.details.emplace_back(loss.name, loss.value.item<double>());
  }
  return result;
}

}  // namespace penjing::distill
