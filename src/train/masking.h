#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "text/tokenizer.h"

namespace penjing::train {

// Masked-LM corruption as BERT's create_pretraining_data.py does it (Devlin et al. 2018, appendix A.1) with
// whole-word masking (their release of May 2019): words in random order are chosen while they fit the number
// of predictions
//   n = min(max_predictions, max(1, round(share * text tokens)))
// and each token of a chosen word becomes [MASK] (80 %), any token of the vocabulary (10 %) or stays (10 %).
// All of them are predicted. Special tokens are never chosen. Here (not there) one word is chosen where none
// fits, so that every text counts.
struct MaskingOptions {
  double share = 0.15, mask_share = 0.8, random_share = 0.1;
  int64_t max_predictions = 0;  // a sequence; 0: no limit but the share's. BERT: 20 of 128 tokens, 80 of 512
  bool whole_words = true;
  uint64_t seed = 1;
};

struct MaskedSequence {
  std::vector<int32_t> ids;        // what the network reads
  std::vector<int32_t> positions;  // of the tokens to be predicted, ascending
  std::vector<int32_t> labels;     // what stood there
};

class Masking {
 public:
  // kInput for shares that are none, kUnsupported for a tokenizer without a mask token.
  Masking(const Tokenizer& tokenizer, const MaskingOptions& options);

  // The draws are functions of (seed, sample) alone: they depend on no rank, batch or packing, and differ
  // between the epochs of a text, whose samples have different numbers.
  MaskedSequence mask(std::span<const int32_t> ids, int64_t sample) const;

 private:
  MaskingOptions options_;
  int32_t mask_id_ = 0;
  std::vector<uint8_t> continues_, special_;  // [vocabulary]: "##" pieces; special tokens
};

}  // namespace penjing::train
