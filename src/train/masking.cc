#include "train/masking.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace penjing::train {

namespace {

constexpr uint64_t kMaskStream = 0x6d61736b;  // "mask": apart from other uses of a seed

}  // namespace

Masking::Masking(const Tokenizer& tokenizer, const MaskingOptions& options)
    : options_(options), mask_id_(tokenizer.mask_id()) {
  if (mask_id_ < 0) fail(ErrorKind::kUnsupported, "the tokenizer has no mask token");
  if (!(options.share > 0 && options.share < 1))
    fail(ErrorKind::kInput, "share of masked tokens {}: wanted 0 < share < 1", options.share);
  if (!(options.mask_share >= 0 && options.random_share >= 0 &&
        options.mask_share + options.random_share <= 1)) {
    fail(ErrorKind::kInput,
         "of the chosen tokens {} become the mask and {} random ones: wanted 0 to 1 in all",
         options.mask_share, options.random_share);
  }
  const auto vocabulary = static_cast<std::size_t>(tokenizer.vocab_size());
  continues_.resize(vocabulary);
  special_.resize(vocabulary);
  const std::string& prefix = tokenizer.continuing_prefix();
  for (std::size_t id = 0; id < vocabulary; ++id) {
    const std::string_view token = tokenizer.token(static_cast<int32_t>(id));
    continues_[id] = !prefix.empty() && token.size() > prefix.size() && token.starts_with(prefix) ? 1 : 0;
    special_[id] = tokenizer.is_special(static_cast<int32_t>(id)) ? 1 : 0;
  }
  special_[static_cast<std::size_t>(mask_id_)] = 1;
}

MaskedSequence Masking::mask(std::span<const int32_t> ids, int64_t sample) const {
  MaskedSequence out;
  out.ids.assign(ids.begin(), ids.end());
  // Where each word begins, and one place behind its last piece.
  struct Word {
    std::size_t begin, end;
  };
  std::vector<Word> words;
  int64_t text_tokens = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto id = static_cast<std::size_t>(ids[i]);
    if (special_[id] != 0) continue;
    ++text_tokens;
    const bool goes_on =
        options_.whole_words && continues_[id] != 0 && !words.empty() && words.back().end == i;
    if (goes_on) {
      words.back().end = i + 1;
    } else {
      words.push_back({i, i + 1});
    }
  }
  if (words.empty()) return out;
  auto wanted = static_cast<std::size_t>(
      std::max<int64_t>(1, std::llround(options_.share * static_cast<double>(text_tokens))));
  if (options_.max_predictions > 0)
    wanted = std::min(wanted, static_cast<std::size_t>(options_.max_predictions));

  Rng rng(options_.seed ^ kMaskStream << 32, static_cast<uint64_t>(sample));
  for (std::size_t i = words.size(); i > 1; --i) std::swap(words[i - 1], words[rng.below(i)]);
  std::vector<std::size_t> chosen;
  for (const Word& word : words) {
    if (chosen.size() >= wanted) break;
    if (chosen.size() + (word.end - word.begin) > wanted) continue;
    for (std::size_t i = word.begin; i < word.end; ++i) chosen.push_back(i);
  }
  // A text of nothing but words that are longer than n.
  if (chosen.empty()) {
    for (std::size_t i = words.front().begin; i < words.front().end; ++i) chosen.push_back(i);
  }
  std::sort(chosen.begin(), chosen.end());
  for (const std::size_t i : chosen) {
    out.positions.push_back(static_cast<int32_t>(i));
    out.labels.push_back(ids[i]);
    const double draw = rng.uniform();
    if (draw < options_.mask_share) {
      out.ids[i] = mask_id_;
    } else if (draw < options_.mask_share + options_.random_share) {
      out.ids[i] = static_cast<int32_t>(rng.below(continues_.size()));
    }
  }
  return out;
}

}  // namespace penjing::train
