#include "text/mixed_segmentation.h"

#include <algorithm>
#include <span>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"

namespace penjing {

namespace {

// The tokens of the word that begins at token `at`.
std::span<const int32_t> word_at(const Encoding& encoding, std::size_t at) {
  std::size_t end = at;
  while (end < encoding.ids.size() && encoding.words[end] == encoding.words[at]) ++end;
  return std::span(encoding.ids).subspan(at, end - at);
}

}  // namespace

MixedSegmentation::MixedSegmentation(const Tokenizer& whole, std::shared_ptr<const Tokenizer> reduced,
                                     double share, uint64_t seed)
    : whole_(whole), reduced_(std::move(reduced)), share_(share), seed_(seed) {
  if (!(share >= 0 && share <= 1)) fail(ErrorKind::kInput, "share of mixed words {}: wanted 0 to 1", share);
  for (int32_t id = 0; id < reduced_->vocab_size(); ++id) {
    const std::string_view piece = reduced_->token(id);
    const int32_t found = whole.find_token(piece);
    if (found < 0) {
      fail(ErrorKind::kInput, "the vocabulary to be mixed in has \"{}\", which the model's does not have",
           piece);
    }
    ids_.push_back(found);
  }
}

std::vector<int32_t> MixedSegmentation::encode(std::string_view text, uint64_t round) const {
  EncodeOptions options;
  options.add_special_tokens = false;
  options.truncation = Truncation::kNone;
  const Encoding whole = whole_.encode(text, options), reduced = reduced_->encode(text, options);
  Rng rng(seed_ + round, fnv1a(text));
  std::vector<int32_t> ids;
  std::size_t at = 0, other = 0;
  while (at < whole.ids.size() && other < reduced.ids.size()) {
    const auto word = word_at(whole, at), spelled = word_at(reduced, other);
    const bool known = std::find(spelled.begin(), spelled.end(), reduced_->unk_id()) == spelled.end();
    if (rng.uniform() < share_ && known) {
      for (const int32_t id : spelled) ids.push_back(ids_[static_cast<std::size_t>(id)]);
    } else {
      ids.insert(ids.end(), word.begin(), word.end());
    }
    at += word.size();
    other += spelled.size();
  }
  if (at != whole.ids.size() || other != reduced.ids.size())
    fail(ErrorKind::kInput, "the tokenizer to be mixed in cuts \"{}\" into other words", text.substr(0, 80));
  return ids;
}

std::string MixedSegmentation::fingerprint() const {
  std::string all = fmt::format("{} {}", share_, seed_);
  for (const int32_t id : ids_) all += fmt::format(" {}", id);
  return sha256_hex(std::as_bytes(std::span(all)));
}

}  // namespace penjing
