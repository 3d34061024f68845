#pragma once

#include <functional>

#include "augment/augmenter.h"
#include "data/dataset.h"

namespace penjing::augment {

struct AugmentCounts {
  int64_t examples = 0, rows = 0;  // rows: those written, the originals among them
  int64_t repeated = 0;            // rows left out because the example had them already
};

// Writes each example and after it what the augmenter makes of it, with the example's label. A row that the
// example has already is left out. Chance is a function of (seed, number of the example): rows do not depend
// on threads, nor on how many other examples there are. Reports progress; honours Ctrl-C.
AugmentCounts augment(const Dataset& data, const Tokenizer& tokenizer, Augmenter& augmenter, ThreadPool& pool,
                      uint64_t seed, const std::function<void(const Example&)>& write);

}  // namespace penjing::augment
