#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace penjing {

// BERT's normalisation (Devlin et al. 2018, as in Hugging Face's BertNormalizer).
struct BertNormalization {
  bool clean_text = true, chinese_chars = true, strip_accents = true, lowercase = true;
};

// Normalised code points, each with the index of the code point of the text that it came from.
struct NormalizedText {
  std::vector<uint32_t> points;
  std::vector<int32_t> source;
};

// Appends the normal form of `points`, which stand at index `first` of the text.
void normalize(const BertNormalization& rules, std::span<const uint32_t> points, int32_t first,
               NormalizedText& out);

}  // namespace penjing
