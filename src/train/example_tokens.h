#pragma once

#include <optional>

#include "train/objective.h"

namespace penjing::train {

// Of each of these examples, over all its sequences.
std::vector<int64_t> tokens_of(const Objective& objective, std::span<const int64_t> examples);

std::vector<int64_t> all_examples(const Objective& objective);  // their numbers

// The steps of a training on the objective; none of a stream.
std::optional<Batches> batches_of(const Objective& objective, const Batches::Settings& settings);

}  // namespace penjing::train
