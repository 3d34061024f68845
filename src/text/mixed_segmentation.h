#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace penjing {

// Words of texts in the pieces now of one vocabulary, now of a smaller one whose pieces are all among the
// first's (Zhao et al. 2019, arXiv:1909.11687, "dual training", there with p = 0.5): a model that reads both
// learns pieces of the smaller vocabulary in the places of the words that they spell.
class MixedSegmentation {
 public:
  // share: probability of a word to be spelled in the smaller vocabulary. `whole` must outlive it. kInput
  // naming a piece that `whole` does not have, or a share outside of [0, 1].
  MixedSegmentation(const Tokenizer& whole, std::shared_ptr<const Tokenizer> reduced, double share,
                    uint64_t seed);

  // Ids of `whole`'s vocabulary, without special tokens. Which words are spelled otherwise depends on seed,
  // round and the text alone. A word that the smaller vocabulary cannot spell stays as it is. kInput when the
  // two cut the text into different words.
  std::vector<int32_t> encode(std::string_view text, uint64_t round) const;

  // Equal for equal results.
  std::string fingerprint() const;

 private:
  const Tokenizer& whole_;
  std::shared_ptr<const Tokenizer> reduced_;
  double share_;
  uint64_t seed_;
  std::vector<int32_t> ids_;  // of `whole`, of each of the smaller vocabulary's
};

}  // namespace penjing
