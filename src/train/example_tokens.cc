#include "train/example_tokens.h"

#include <numeric>

namespace penjing::train {

std::vector<int64_t> tokens_of(const Objective& objective, std::span<const int64_t> examples) {
  std::vector<int64_t> tokens;
  for (const int64_t i : examples) {
    int64_t sum = 0;
    for (const Sequence& sequence : objective.sequences(i)) sum += static_cast<int64_t>(sequence.ids.size());
    tokens.push_back(sum);
  }
  return tokens;
}

std::vector<int64_t> all_examples(const Objective& objective) {
  std::vector<int64_t> all(static_cast<std::size_t>(objective.num_examples()));
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

std::optional<Batches> batches_of(const Objective& objective, const Batches::Settings& settings) {
  if (objective.is_stream()) return std::nullopt;
  return Batches(tokens_of(objective, all_examples(objective)), settings, objective.groups());
}

}  // namespace penjing::train
