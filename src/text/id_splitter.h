#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/splitter.h"

namespace penjing {

// Text -> the ids of its pieces, without their places: the same ids as Splitter's, found faster. ASCII is
// normalised, split and looked up in one pass over the bytes; whatever stands with another character between
// two white spaces goes through Splitter. The parts of the tokenizer must outlive it.
class IdSplitter {
 public:
  IdSplitter(const WordPiece& model, const BertNormalization& rules, const std::vector<AddedToken>& added);

  // Appends the ids, stopping soon after `limit` of them. Malformed UTF-8 becomes U+FFFD.
  void split(std::string_view text, int64_t limit, std::vector<int32_t>& ids) const;

 private:
  enum Kind : uint8_t { kWord, kSpace, kPunctuation, kOther };

  const AddedToken* match(std::string_view text) const;

  const WordPiece& model_;
  const BertNormalization& rules_;
  const std::vector<AddedToken>& added_;
  bool simple_ = true;  // no added token needs more than a comparison of bytes
  std::array<Kind, 256> kind_{};
  std::array<char, 256> normal_{};  // of kWord and kPunctuation
  std::array<bool, 256> begins_added_{};
};

}  // namespace penjing
