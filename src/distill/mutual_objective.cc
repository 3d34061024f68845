#include "distill/mutual_objective.h"

#include <numeric>

#include "base/error.h"
#include "distill/outputs_tap.h"
#include "distill/soft_targets.h"
#include "model/block_parts.h"

namespace penjing::distill {

namespace {

// Of the dropout of peer k: another seed for each.
constexpr uint64_t kPeerSeed = 0x9E3779B97F4A7C15;

void add_prefix(Description& d, const std::string& prefix) {
  const auto rename = [&](std::string& name) {
    if (!name.empty()) name = prefix + name;
  };
  EmbeddingSpec& e = d.embedding;
  rename(e.word);
  rename(e.token_type);
  rename(e.position.name);
  if (e.has_norm) rename(e.norm.name);
  if (e.has_projection) rename(e.projection.name);
  for (Block& block : d.blocks) {
    rename(block.name);
    for (NormSpec* spec : norms_of(block)) rename(spec->name);
    for (LinearSpec* spec : linears_of(block)) rename(spec->name);
    if (auto* attention = std::get_if<AttentionSpec>(&block.part)) rename(attention->position.name);
  }
  for (HeadSpec& head : d.heads) {
    rename(head.attention.name);
    rename(head.attention_score.name);
    rename(head.dense.name);
    rename(head.norm.name);
    rename(head.projection.name);
    rename(head.projection_bias);
    rename(head.projection_rest);
  }
}

// The main score on the held-back split.
double score(const train::Objective& task, const train::Network& network,
             const train::ForwardContext& context) {
  const TaskResult result = task.evaluate(network, context);
  std::vector<std::size_t> all(result.num_examples);
  std::iota(all.begin(), all.end(), std::size_t{0});
  return result.metrics.front().value(all);
}

}  // namespace

std::unique_ptr<Peer> make_peer(Model start, int64_t number, train::Parameters& parameters) {
  auto peer = std::make_unique<Peer>();
  peer->prefix = fmt::format("{}peer{}.", train::kAside, number);
  for (const train::Parameters::Entry& entry : train::load_parameters(start)) {
    parameters.add(peer->prefix + entry.name, entry.tensor);
  }
  peer->model = start;
  peer->model.tensors = TensorMap();
  add_prefix(peer->model.description, peer->prefix);
  for (SentenceModule& module : peer->model.sentence.modules) {
    if (module.kind == SentenceModule::Kind::kDense) module.dense.name = peer->prefix + module.dense.name;
  }
  peer->start = std::move(start);
  return peer;
}

Model trained_peer(const Peer& peer) {
  train::Parameters own;
  for (const train::Parameters::Entry& entry : peer.network.parameters) {
    if (entry.name.starts_with(peer.prefix)) own.add(entry.name.substr(peer.prefix.size()), entry.tensor);
  }
  Model model = peer.start;
  train::store_parameters(own, model);
  return model;
}

MutualObjective::MutualObjective(std::unique_ptr<train::Objective> task,
                                 std::vector<std::unique_ptr<Peer>> others, double weight, double temperature,
                                 OnFinish on_finish)
    : ObjectiveAround(std::move(task)),
      others_(std::move(others)),
      weight_(weight),
      temperature_(temperature),
      on_finish_(std::move(on_finish)) {}

train::LossSum MutualObjective::loss(const train::Network& network, const train::ForwardContext& context,
                                     std::span<const int64_t> examples, int64_t epoch) const {
  std::vector<at::Tensor> logits;
  train::LossSum result;
  for (std::size_t i = 0; i <= others_.size(); ++i) {
    const train::Network& own = i == 0 ? network : others_[i - 1]->network;
    train::ForwardContext watched = context;
    watched.random.seed += i * kPeerSeed;
    OutputsTap tap(own.model->description, {[](int64_t) { return 0u; }, kLogits}, context.tap);
    watched.tap = &tap;
    const train::LossSum of_task = task().loss(own, watched, examples, epoch);
    result.sum = i == 0 ? of_task.sum : result.sum + of_task.sum;
    if (i == 0) result.details = of_task.details;
    logits.push_back(tap.take().logits.to(at::kFloat));
  }
  double weight = 0;
  for (const int64_t i : examples) weight += task().weight(i);
  const auto others = static_cast<double>(others_.size());
  double told = 0;  // mean over the peers
  for (std::size_t i = 0; i < logits.size(); ++i) {
    for (std::size_t j = 0; j < logits.size(); ++j) {
      if (i == j) continue;
      const at::Tensor other = logits[j].detach();
      const at::Tensor apart =
          other.size(-1) == 1 ? (logits[i] - other).square().mean()
                              : soft_target_loss(logits[i], other, temperature_, Divergence::kKl).mean() *
                                    (temperature_ * temperature_);
      result.sum = result.sum + apart * (weight_ * weight / others);
      told += apart.item<double>() / others / (others + 1);
    }
  }
  result.details.emplace_back("mutual", told);
  return result;
}

void MutualObjective::finish(const train::Network& network, const train::ForwardContext& context,
                             Model& model) const {
  task().finish(network, context, model);
  std::vector<double> scores;
  if (has_evaluation()) {
    scores.push_back(score(task(), network, context));
    for (const auto& peer : others_) scores.push_back(score(task(), peer->network, context));
  }
  on_finish_(scores, others_, model);
}

}  // namespace penjing::distill
