#include "data/sequence_packer.h"

#include <algorithm>

#include "base/error.h"

namespace penjing {

SequencePacker::Tokens::Tokens(const Tokenizer& tokenizer)
    : kinds(static_cast<std::size_t>(tokenizer.vocab_size()), 0) {
  const std::string& continuing = tokenizer.continuing_prefix();
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view token = tokenizer.token(id);
    if (!continuing.empty() && token.starts_with(continuing) && token.size() > continuing.size())
      kinds[static_cast<std::size_t>(id)] |= kContinues;
  }
  const auto mark = [&](std::initializer_list<const char*> texts, uint8_t kind) {
    for (const char* text : texts) {
      const int32_t id = tokenizer.find_token(text);
      if (id >= 0) kinds[static_cast<std::size_t>(id)] |= kind;
    }
  };
  mark({".", "!", "?", "…", "。", "！", "？", "।"}, kEnds);
  mark({"\"", "'", "”", "’", "»", ")", "]", "」", "』"}, kCloses);
  const Encoding sample = tokenizer.encode("a");
  std::size_t i = 0;
  for (; i < sample.ids.size() && sample.special_mask[i] != 0; ++i) prefix.push_back(sample.ids[i]);
  for (; i < sample.ids.size(); ++i) {
    if (sample.special_mask[i] != 0) suffix.push_back(sample.ids[i]);
  }
}

SequencePacker::SequencePacker(const Tokens& tokens, int64_t max_length, bool cross_documents)
    : tokens_(tokens), room_(0), cross_documents_(cross_documents) {
  const auto fixed = static_cast<int64_t>(tokens.prefix.size() + tokens.suffix.size());
  if (max_length <= fixed) {
    fail(ErrorKind::kInput, "a sequence of {} tokens has no room beside its {} special ones", max_length,
         fixed);
  }
  room_ = static_cast<std::size_t>(max_length - fixed);
}

void SequencePacker::emit(std::span<const int32_t> text, RaggedBatch& out) {
  sequence_.assign(tokens_.prefix.begin(), tokens_.prefix.end());
  sequence_.insert(sequence_.end(), text.begin(), text.end());
  sequence_.insert(sequence_.end(), tokens_.suffix.begin(), tokens_.suffix.end());
  out.append(sequence_);
}

void SequencePacker::add_paragraph(std::span<const int32_t> ids, RaggedBatch& out) {
  const auto kind = [&](std::size_t i) { return tokens_.kinds[static_cast<std::size_t>(ids[i])]; };
  for (std::size_t begin = 0; begin < ids.size();) {
    std::size_t end = begin;
    while (end < ids.size() && (kind(end) & Tokens::kEnds) == 0) ++end;
    while (end < ids.size() && (kind(end) & (Tokens::kEnds | Tokens::kCloses)) != 0) ++end;
    if (pending_.size() + (end - begin) > room_) flush(out);
    while (end - begin > room_) {
      std::size_t cut = begin + room_;
      while (cut > begin && (kind(cut) & Tokens::kContinues) != 0) --cut;
      if (cut == begin) cut = begin + room_;
      emit(ids.subspan(begin, cut - begin), out);
      begin = cut;
    }
    pending_.insert(pending_.end(), ids.begin() + static_cast<std::ptrdiff_t>(begin),
                    ids.begin() + static_cast<std::ptrdiff_t>(end));
    begin = end;
  }
}

void SequencePacker::end_document(RaggedBatch& out) {
  if (!cross_documents_ || pending_.size() + tokens_.suffix.size() >= room_) {
    flush(out);
  } else if (!pending_.empty() && !tokens_.suffix.empty() && pending_.back() != tokens_.suffix.back()) {
    pending_.insert(pending_.end(), tokens_.suffix.begin(), tokens_.suffix.end());
  }
}

void SequencePacker::flush(RaggedBatch& out) {
  // A separator with nothing behind it.
  if (!tokens_.suffix.empty() && !pending_.empty() && pending_.back() == tokens_.suffix.back())
    pending_.resize(pending_.size() - tokens_.suffix.size());
  if (!pending_.empty()) emit(pending_, out);
  pending_.clear();
}

}  // namespace penjing
