#include "distill/distill_objective.h"

#include "base/error.h"
#include "distill/balance.h"
#include "distill/turns.h"
#include "train/parameter_rules.h"

namespace penjing::distill {

namespace {

constexpr const char* kTask = "task";
constexpr const char* kFactors = "loss_factors";

// Those of embeddings and layers that are trained.
std::vector<at::Tensor> encoder_parameters(const train::Network& network) {
  const std::vector<int64_t> layers = train::layers_of(network.parameters, network.model->description);
  std::vector<at::Tensor> out;
  std::size_t i = 0;
  for (const train::Parameters::Entry& entry : network.parameters) {
    if (layers[i++] >= 0 && entry.tensor.requires_grad()) out.push_back(entry.tensor);
  }
  return out;
}

// |d value / d parameters|, computed of a value of 1: FP16 would lose the gradient of a tiny one.
double gradient_length(const at::Tensor& value, const std::vector<at::Tensor>& parameters) {
  const double size = std::abs(value.item<double>());
  if (!value.requires_grad() || !(size > 0) || parameters.empty()) return 0;
  double squares = 0;
  for (const at::Tensor& gradient :
       torch::autograd::grad({value / size}, parameters, {}, /*retain_graph=*/false,
                             /*create_graph=*/false, /*allow_unused=*/true)) {
    if (gradient.defined()) squares += gradient.to(at::kDouble).square().sum().item<double>();
  }
  return size * std::sqrt(squares);
}

}  // namespace

DistillObjective::DistillObjective(std::unique_ptr<train::Objective> task, Teachers teachers,
                                   Connections connections, double label_weight,
                                   std::function<void(const std::string&)> tell)
    : ObjectiveAround(std::move(task)),
      teachers_(std::move(teachers)),
      connections_(std::move(connections)),
      label_weight_(label_weight),
      tell_(std::move(tell)) {}

Json DistillObjective::begin(const train::Network& network, const train::ForwardContext& context,
                             std::span<const std::vector<int64_t>> steps) {
  const Plan& plan = connections_.plan();
  if (!has_balance(plan)) return Json::object();
  const std::vector<at::Tensor> encoder = encoder_parameters(network);
  const TensorMap memories = connections_.state();
  connections_.set_factors(balance_factors(plan, [&](std::size_t term) {
    train::ForwardContext at_peak = context;
    at_peak.progress = peak_of(plan.terms[term]);
    double sum = 0;
    for (const std::vector<int64_t>& examples : steps) {  // each with a dropout of its own
      for (const PlannedLoss& loss : ask(network, at_peak, examples, 0).losses) {
        if (loss.name == plan.terms[term].name) sum += gradient_length(loss.value.to(at::kFloat), encoder);
      }
      ++at_peak.random.step;
    }
    return sum / static_cast<double>(steps.size());
  }));
  connections_.restore(memories);
  std::string text;
  Json weights = Json::object();
  const std::vector<double> factors = connections_.factors();
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const LossTerm& term = plan.terms[i];
    if (term.balance == 0) continue;
    const double weight = factors[i] * std::max(term.weight, term.end_weight);
    weights.set(term.name, weight);
    text += fmt::format("{}{} {:.4g}", text.empty() ? "" : ", ", term.name, weight);
  }
  tell_("weights, by gradients of " + plan.terms.front().name + ": " + text + "\n");
  return Json::object({{"weights", weights}});
}

Json DistillObjective::state() const {
  if (!has_balance(connections_.plan())) return task().state();
  Json factors = Json::array();
  for (const double factor : connections_.factors()) factors.push_back(factor);
  return Json::object({{kTask, task().state()}, {kFactors, factors}});
}

void DistillObjective::restore(const Json& state) {
  if (!has_balance(connections_.plan())) return ObjectiveAround::restore(state);
  const std::string where = "trainer_state.json: objective";
  const Json *own = state.find(kTask), *list = state.find(kFactors);
  if (own == nullptr || list == nullptr)
    fail(ErrorKind::kFormat, "{}: no {}", where, own == nullptr ? kTask : kFactors);
  std::vector<double> factors;
  for (const Json& factor : list->as_array(where)) factors.push_back(factor.as_double(where));
  connections_.set_factors(factors);
  ObjectiveAround::restore(*own);
}

double DistillObjective::layer_rate(int64_t layer, double progress) const {
  return label_weight_ > 0 ? 1 : rate_of_layer(connections_.plan(), layer, progress);
}

bool DistillObjective::is_sum() const {
  return task().is_sum() && connections_.sums_over_examples();
}

DistillObjective::Asked DistillObjective::ask(const train::Network& network,
                                              const train::ForwardContext& context,
                                              std::span<const int64_t> examples, int64_t epoch) const {
  const double progress = context.progress;
  const unsigned whole = connections_.whole_needs(progress);
  OutputsTap tap(network.model->description,
                 {[&](int64_t layer) { return connections_.student_needs(layer, progress); }, whole},
                 context.tap);
  train::ForwardContext watched = context;
  watched.tap = &tap;
  Asked asked;
  asked.task = task().loss(network, watched, examples, epoch);
  const Outputs student = tap.take();
  const Outputs teacher = teachers_.run(
      task(), {[&](int64_t layer) { return connections_.teacher_needs(layer, progress); }, whole}, context,
      examples, epoch);

  std::vector<int64_t> offsets = {0}, classes;
  for (const int64_t i : examples) {
    for (const train::Sequence& sequence : task().sequences(i)) {
      offsets.push_back(offsets.back() + static_cast<int64_t>(sequence.ids.size()));
    }
    asked.weight += task().weight(i);
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
  asked.losses = connections_.losses(batch);
  return asked;
}

train::LossSum DistillObjective::loss(const train::Network& network, const train::ForwardContext& context,
                                      std::span<const int64_t> examples, int64_t epoch) const {
  auto [result, weight, losses] = ask(network, context, examples, epoch);
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
