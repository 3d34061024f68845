#pragma once

#include <functional>
#include <vector>

#include "distill/plan.h"

// Weights of losses by their gradients. Values of losses cannot be compared: of similarities one is 1e-5
// where a sum of squares is 30, and constants (of a Gaussian's variance, of a number of negatives) move
// nothing. What counts is how far each pulls the encoder. No LibTorch here.
namespace penjing::distill {

// A point of the training at which the term's weight is as large as it gets, and the student gets its
// gradient.
double peak_of(const LossTerm& term);

// What each term's weight is multiplied by: 1, or of term i with a balance b
//   b w_0 |g_0| / |g_i|
// where w_0 is the first term's largest weight and |g_i| = length(i) the length of the gradient at the
// encoder of term i with weight 1. kInput where a term that is wanted has no gradient.
std::vector<double> balance_factors(const Plan& plan, const std::function<double(std::size_t)>& length);

}  // namespace penjing::distill
