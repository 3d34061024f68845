#pragma once

#include <vector>

#include "distill/plan.h"

// Progressive transfer (Sun et al. 2020, section 3.5): layers learn one after the other. No LibTorch here.
namespace penjing::distill {

// One term for each of its pairs of layers, ascending by the student's, with windows of equal length in
// [term.from, term.to): "feature_map_1", "feature_map_2", ... A mean over the layers goes into their weights,
// a projection of each place has its own name. What the loss says of all its places is said of the one.
std::vector<LossTerm> take_turns(const LossTerm& term);

// What the learning rate of a layer (0: the embeddings) is multiplied by at a point of the training: 1, or
// below the layer that a term teaches its earlier_rate; of several terms that count the largest.
double rate_of_layer(const Plan& plan, int64_t layer, double progress);
// Whether any term has an earlier_rate.
bool has_turns(const Plan& plan);

}  // namespace penjing::distill
