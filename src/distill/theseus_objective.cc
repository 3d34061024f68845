#include "distill/theseus_objective.h"

#include <algorithm>

#include "base/rng.h"

namespace penjing::distill {

namespace {

constexpr uint64_t kReplacingStream = 0x7265706c;  // "repl": apart from other uses of a seed

}  // namespace

std::vector<bool> draw_replaced(const train::RandomKey& random, std::size_t count, double probability) {
  Rng rng(random.seed ^ kReplacingStream << 32, random.step);
  std::vector<bool> replaced;
  for (std::size_t i = 0; i < count; ++i) replaced.push_back(rng.uniform() < probability);
  return replaced;
}

train::LossSum TheseusObjective::loss(const train::Network& network, const train::ForwardContext& context,
                                      std::span<const int64_t> examples, int64_t epoch) const {
  if (!context.training) return task().loss(network, context, examples, epoch);
  const double probability =
      replacing_.probability(static_cast<int64_t>(context.random.step), context.progress);
  const std::vector<bool> replaced = draw_replaced(context.random, modules_.size(), probability);
  const auto count = std::count(replaced.begin(), replaced.end(), true);
  const bool all = count == static_cast<std::ptrdiff_t>(replaced.size());
  train::LossSum result = task().loss(all ? network : modules_.network(replaced), context, examples, epoch);
  // Where nothing is replaced nothing is learned; the loop's backward wants a leaf none the less.
  if (!result.sum.requires_grad()) {
    result.sum = result.sum + at::zeros({}, result.sum.options()).requires_grad_(true);
  }
  result.details.emplace_back("replaced", static_cast<double>(count) / static_cast<double>(replaced.size()));
  return result;
}

}  // namespace penjing::distill
