#include "text/tokenizer.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "text/tokenizer_state.h"
#include "text/unicode.h"

namespace penjing {

namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

struct Piece {
  int32_t id, begin, end, word;
};

// Splits one text into pieces, stopping soon after `limit` of them: what truncation will drop need not be
// found.
class Splitter {
 public:
  Splitter(const WordPiece& model, const BertNormalization& rules, const std::vector<AddedToken>& added,
           int64_t limit)
      : model_(model), rules_(rules), added_(added), limit_(limit) {}

  std::vector<Piece> split(std::string_view text, bool strict) {
    const std::vector<uint32_t> points = decode_utf8(text, strict);
    if (points.size() > static_cast<std::size_t>(std::numeric_limits<int32_t>::max() / 4)) {
      fail(ErrorKind::kResource, "a text of {} characters; at most 2^29 are allowed", points.size());
    }
    for_each_part(points, false, [&](std::span<const uint32_t> part, int32_t begin, const AddedToken* token) {
      if (token != nullptr) return add_token(*token, begin, begin + static_cast<int32_t>(part.size()));
      split_raw(part, begin);
    });
    return std::move(pieces_);
  }

 private:
  bool full() const { return static_cast<int64_t>(pieces_.size()) > limit_; }

  void add_token(const AddedToken& token, int32_t begin, int32_t end) {
    pieces_.push_back({token.id, begin, end, word_++});
  }

  // The added token that matches at points[at], the longest; nullptr when none.
  const AddedToken* match(std::span<const uint32_t> points, std::size_t at, bool normalized) const {
    const AddedToken* best = nullptr;
    for (const AddedToken& token : added_) {
      const auto& wanted = token.points;
      if (token.normalized != normalized || wanted.size() > points.size() - at || wanted[0] != points[at])
        continue;
      if (best != nullptr && best->points.size() >= wanted.size()) continue;
      if (std::equal(wanted.begin(), wanted.end(), points.begin() + static_cast<std::ptrdiff_t>(at)))
        best = &token;
    }
    return best;
  }

  // Cuts `points` at added tokens of one kind, calling visit(part, index of its first point, token or
  // nullptr).
  template <typename Visit>
  void for_each_part(std::span<const uint32_t> points, bool normalized, Visit visit) {
    std::size_t plain = 0;
    const bool any = std::any_of(added_.begin(), added_.end(),
                                 [&](const AddedToken& t) { return t.normalized == normalized; });
    for (std::size_t at = 0; any && at < points.size() && !full();) {
      const AddedToken* token = match(points, at, normalized);
      if (token == nullptr) {
        ++at;
        continue;
      }
      std::size_t begin = at, end = at + token->points.size();
      const auto is_space = [&](std::size_t i) { return (classify_character(points[i]) & kIsSpace) != 0; };
      while (token->lstrip && begin > plain && is_space(begin - 1)) --begin;
      while (token->rstrip && end < points.size() && is_space(end)) ++end;
      if (begin > plain) visit(points.subspan(plain, begin - plain), static_cast<int32_t>(plain), nullptr);
      visit(points.subspan(begin, end - begin), static_cast<int32_t>(begin), token);
      plain = at = end;
    }
    if (plain < points.size() && !full()) visit(points.subspan(plain), static_cast<int32_t>(plain), nullptr);
  }

  void split_raw(std::span<const uint32_t> raw, int32_t begin) {
    // Long texts are normalised a block at a time, cut at a space, so that an early stop saves the rest.
    constexpr std::size_t kBlock = 4096;
    const bool bounded = limit_ != kNoLimit;
    while (!raw.empty() && !full()) {
      std::size_t size = raw.size();
      if (bounded && size > kBlock) {
        size = kBlock;
        while (size < raw.size() && raw[size] != ' ') ++size;
      }
      NormalizedText text;
      normalize(rules_, raw.first(size), begin, text);
      for_each_part(
          text.points, true, [&](std::span<const uint32_t> part, int32_t first, const AddedToken* token) {
            const auto source = std::span(text.source).subspan(static_cast<std::size_t>(first), part.size());
            if (token != nullptr) return add_token(*token, source.front(), source.back() + 1);
            split_words(part, source);
          });
      raw = raw.subspan(size);
      begin += static_cast<int32_t>(size);
    }
  }

  // White space separates words and is dropped; each punctuation mark is a word.
  void split_words(std::span<const uint32_t> points, std::span<const int32_t> source) {
    std::size_t begin = 0;
    const auto end_word = [&](std::size_t end) {
      if (end > begin) split_word(points.subspan(begin, end - begin), source.subspan(begin, end - begin));
    };
    for (std::size_t i = 0; i < points.size() && !full(); ++i) {
      const uint8_t kind = classify_character(points[i]);
      if ((kind & kIsSpace) != 0) {
        end_word(i);
        begin = i + 1;
      } else if ((kind & kIsPunctuation) != 0) {
        end_word(i);
        begin = i;
        end_word(i + 1);
        begin = i + 1;
      }
    }
    if (!full()) end_word(points.size());
  }

  void split_word(std::span<const uint32_t> word, std::span<const int32_t> source) {
    found_.clear();
    model_.split(word, found_);
    for (const WordPiecePiece& piece : found_) {
      pieces_.push_back({piece.id, source[static_cast<std::size_t>(piece.begin)],
                         source[static_cast<std::size_t>(piece.end - 1)] + 1, word_});
    }
    ++word_;
  }

  const WordPiece& model_;
  const BertNormalization& rules_;
  const std::vector<AddedToken>& added_;
  int64_t limit_;
  std::vector<Piece> pieces_;
  std::vector<WordPiecePiece> found_;
  int32_t word_ = 0;
};

// How many pieces of each text stay, when `room` tokens are left for both.
std::pair<int64_t, int64_t> share_room(int64_t first, int64_t second, int64_t room, Truncation truncation) {
  if (truncation == Truncation::kOnlyFirst || truncation == Truncation::kOnlySecond) {
    int64_t& cut = truncation == Truncation::kOnlyFirst ? first : second;
    const int64_t other = truncation == Truncation::kOnlyFirst ? second : first;
    if (first + second > room) {
      if (other >= room) {
        fail(ErrorKind::kInput, "cannot truncate: the text that may not be cut has {} tokens, {} fit", other,
             room);
      }
      cut = std::min(cut, room - other);
    }
    return {first, second};
  }
  if (first + second <= room) return {first, second};
  // Longest first, as the library does it: the shorter keeps its length when it can, else both get half.
  const bool swapped = first > second;
  if (swapped) std::swap(first, second);
  second = first > room ? first : std::max(first, room - first);
  if (first + second > room) first = room / 2, second = first + room % 2;
  if (swapped) std::swap(first, second);
  return {first, second};
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;

namespace {

Encoding assemble(const std::vector<TemplatePiece>& pieces, const std::vector<Piece>* texts[2]) {
  Encoding out;
  const auto put = [&](int32_t id, int32_t type, std::pair<int32_t, int32_t> offset, int32_t sequence,
                       int32_t word) {
    out.ids.push_back(id);
    out.type_ids.push_back(type);
    out.offsets.push_back(offset);
    out.special_mask.push_back(static_cast<uint8_t>(sequence < 0 ? 1 : 0));
    out.sequence.push_back(sequence);
    out.words.push_back(word);
  };
  for (const TemplatePiece& part : pieces) {
    if (part.sequence < 0) {
      for (const int32_t id : part.ids) put(id, part.type_id, {0, 0}, -1, -1);
    } else if (texts[part.sequence] != nullptr) {
      for (const Piece& piece : *texts[part.sequence]) {
        put(piece.id, part.type_id, {piece.begin, piece.end}, part.sequence, piece.word);
      }
    }
  }
  return out;
}

int64_t count_fixed(const std::vector<TemplatePiece>& pieces) {
  int64_t count = 0;
  for (const TemplatePiece& piece : pieces) count += static_cast<int64_t>(piece.ids.size());
  return count;
}

}  // namespace

Encoding Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  static const std::vector<TemplatePiece> kPlain = {{0, 0, {}}};
  const auto& pieces = options.add_special_tokens ? state_->single : kPlain;
  int64_t room = kNoLimit;
  if (options.max_length > 0 && options.truncation != Truncation::kNone) {
    room = options.max_length - count_fixed(pieces);
    if (room < 0)
      fail(ErrorKind::kInput, "max_length {} is less than the {} special tokens", options.max_length,
           count_fixed(pieces));
  }
  Splitter splitter(state_->model, state_->normalization, state_->added, room);
  std::vector<Piece> found = splitter.split(text, options.strict_utf8);
  const bool truncated = static_cast<int64_t>(found.size()) > room;
  if (truncated) found.resize(static_cast<std::size_t>(room));
  const std::vector<Piece>* texts[2] = {&found, nullptr};
  Encoding out = assemble(pieces, texts);
  out.truncated = truncated;
  return out;
}

Encoding Tokenizer::encode_pair(std::string_view first, std::string_view second,
                                const EncodeOptions& options) const {
  static const std::vector<TemplatePiece> kPlain = {{0, 0, {}}, {1, 1, {}}};
  const auto& pieces = options.add_special_tokens ? state_->pair : kPlain;
  if (options.add_special_tokens && pieces.empty()) {
    fail(ErrorKind::kUnsupported, "this tokenizer has no template for pairs of texts");
  }
  int64_t room = kNoLimit;
  if (options.max_length > 0 && options.truncation != Truncation::kNone) {
    room = options.max_length - count_fixed(pieces);
    if (room < 0)
      fail(ErrorKind::kInput, "max_length {} is less than the {} special tokens", options.max_length,
           count_fixed(pieces));
  }
  std::vector<Piece> found[2];
  const std::string_view inputs[2] = {first, second};
  for (int i = 0; i < 2; ++i) {
    Splitter splitter(state_->model, state_->normalization, state_->added, room);
    found[i] = splitter.split(inputs[i], options.strict_utf8);
  }
  bool truncated = false;
  if (room != kNoLimit) {
    const auto n0 = static_cast<int64_t>(found[0].size()), n1 = static_cast<int64_t>(found[1].size());
    const auto [keep0, keep1] = share_room(n0, n1, room, options.truncation);
    truncated = keep0 < n0 || keep1 < n1;
    if (keep0 < n0) found[0].resize(static_cast<std::size_t>(keep0));
    if (keep1 < n1) found[1].resize(static_cast<std::size_t>(keep1));
  }
  const std::vector<Piece>* texts[2] = {&found[0], &found[1]};
  Encoding out = assemble(pieces, texts);
  out.truncated = truncated;
  return out;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  for (const int32_t id : ids) {
    const std::string& piece = token(id);
    if (skip_special && is_special(id)) continue;
    if (!text.empty() && !state_->prefix.empty() && piece.starts_with(state_->prefix)) {
      text += std::string_view(piece).substr(state_->prefix.size());
    } else {
      if (!text.empty()) text += ' ';
      text += piece;
    }
  }
  if (!state_->clean_up) return text;
  constexpr std::pair<std::string_view, std::string_view> kCleanUp[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kCleanUp) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

int64_t Tokenizer::vocab_size() const {
  return state_->vocabulary.size() + static_cast<int64_t>(state_->extra_tokens.size());
}

const std::string& Tokenizer::token(int32_t id) const {
  if (id < 0 || id >= vocab_size()) fail(ErrorKind::kInput, "token id {} outside [0, {})", id, vocab_size());
  const int64_t base = state_->vocabulary.size();
  return id < base ? state_->vocabulary.token(id) : state_->extra_tokens[static_cast<std::size_t>(id - base)];
}

int32_t Tokenizer::find_token(std::string_view text) const {
  for (const AddedToken& added : state_->added) {
    if (added.content == text) return added.id;
  }
  return state_->vocabulary.find(text);
}

bool Tokenizer::is_special(int32_t id) const {
  return std::any_of(state_->added.begin(), state_->added.end(),
                     [&](const AddedToken& added) { return added.id == id && added.special; });
}

int32_t Tokenizer::mask_id() const {
  return state_->mask_id;
}
int32_t Tokenizer::unk_id() const {
  return find_token(state_->unk_token);
}
int64_t Tokenizer::model_max_length() const {
  return state_->model_max_length;
}
const std::string& Tokenizer::continuing_prefix() const {
  return state_->prefix;
}

}  // namespace penjing
