#include "distill/turns.h"

#include <fmt/format.h>

#include <algorithm>

namespace penjing::distill {

std::vector<LossTerm> take_turns(const LossTerm& term) {
  std::vector<LayerPair> pairs = term.layers.pairs;
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const LayerPair& a, const LayerPair& b) { return a.student < b.student; });
  const auto count = static_cast<double>(pairs.size());
  const auto border = [&](std::size_t i) {
    if (i == pairs.size()) return term.to;
    return term.from + (term.to - term.from) * static_cast<double>(i) / count;
  };
  std::vector<LossTerm> turns;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    LossTerm turn = term;
    const std::string ending = fmt::format("_{}", pairs[i].student);
    turn.name += ending;
    turn.layers.rule = "pairs";
    turn.layers.pairs = {pairs[i]};
    turn.from = border(i);
    turn.to = border(i + 1);
    turn.mean_over_layers = false;
    if (term.mean_over_layers) turn.weight = turn.end_weight = term.weight / count;
    if (turn.projection && turn.projection->per_layer) turn.projection->name += ending;
    turns.push_back(std::move(turn));
  }
  return turns;
}

double rate_of_layer(const Plan& plan, int64_t layer, double progress) {
  double largest = -1;
  for (const LossTerm& term : plan.terms) {
    if (weight_at(term, progress) == 0) continue;
    double rate = 1;
    if (term.earlier_rate != 1) {
      const auto first =
          std::min_element(term.layers.pairs.begin(), term.layers.pairs.end(),
                           [](const LayerPair& a, const LayerPair& b) { return a.student < b.student; });
      if (layer < first->student) rate = term.earlier_rate;
    }
    largest = std::max(largest, rate);
  }
  return largest < 0 ? 1 : largest;
}

bool has_turns(const Plan& plan) {
  return std::any_of(plan.terms.begin(), plan.terms.end(),
                     [](const LossTerm& term) { return term.earlier_rate != 1; });
}

}  // namespace penjing::distill
