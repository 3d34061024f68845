#pragma once

#include <cstdint>

namespace penjing::train {

// Which random stream a dropout draws from: Philox4x32-10 (base/rng.h) with key (seed, site) and counter
// (step, sample, position, element). An element's draw is a function of these alone, so that packing, micro
// batches, threads and ranks change nothing (docs/decisions.md, "Randomness").
struct RandomKey {
  uint64_t seed = 0;
  uint64_t step = 0;
};

// One dropout of the network. probability 0: nothing is dropped and no number is drawn.
struct DropoutSite {
  double probability = 0;
  RandomKey key;
  uint32_t site = 0;  // unique within the network: see DropoutSites in encoder.cc
};

}  // namespace penjing::train
