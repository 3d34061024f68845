#include "text/tokenizer.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/thread_pool.h"
#include "text/tokenizer_state.h"
#include "text/unicode.h"

namespace penjing {

namespace {

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

void put(const Piece& piece, int32_t type, int32_t sequence, Encoding& out) {
  out.ids.push_back(piece.id);
  out.type_ids.push_back(type);
  out.offsets.emplace_back(piece.begin, piece.end);
  out.special_mask.push_back(static_cast<uint8_t>(sequence < 0 ? 1 : 0));
  out.sequence.push_back(sequence);
  out.words.push_back(piece.word);
}

void put(int32_t id, int32_t type, int32_t, Encoding& out) {
  if (type != 0 || !out.type_ids.empty()) {
    out.type_ids.resize(out.ids.size(), 0);
    out.type_ids.push_back(type);
  }
  out.ids.push_back(id);
}

Piece added_piece(int32_t id, const Piece*) {
  return {id, 0, 0, -1};
}
int32_t added_piece(int32_t id, const int32_t*) {
  return id;
}

// Cuts the tokens of one or two texts to `room` and puts them where the template says. A Token is a Piece, or
// an id alone.
template <typename Token>
Encoding assemble(const std::vector<TemplatePiece>& pieces, std::vector<Token> (&found)[2], bool pair,
                  int64_t room, Truncation truncation) {
  Encoding out;
  const auto n0 = static_cast<int64_t>(found[0].size()), n1 = static_cast<int64_t>(found[1].size());
  if (room != kNoLimit) {
    const auto [keep0, keep1] =
        pair ? share_room(n0, n1, room, truncation) : std::pair(std::min(n0, room), n1);
    out.truncated = keep0 < n0 || keep1 < n1;
    found[0].erase(found[0].begin() + keep0, found[0].end());
    found[1].erase(found[1].begin() + keep1, found[1].end());
  }
  out.ids.reserve(found[0].size() + found[1].size() + 3);
  for (const TemplatePiece& part : pieces) {
    if (part.sequence < 0) {
      for (const int32_t id : part.ids)
        put(added_piece(id, static_cast<const Token*>(nullptr)), part.type_id, -1, out);
    } else if (part.sequence == 0 || pair) {
      for (const Token& token : found[part.sequence]) put(token, part.type_id, part.sequence, out);
    }
  }
  return out;
}

// Tokens left for the texts beside the fixed ones.
int64_t room_for_texts(const std::vector<TemplatePiece>& pieces, const EncodeOptions& options) {
  if (options.max_length <= 0 || options.truncation == Truncation::kNone) return kNoLimit;
  int64_t fixed = 0;
  for (const TemplatePiece& piece : pieces) fixed += static_cast<int64_t>(piece.ids.size());
  if (options.max_length < fixed)
    fail(ErrorKind::kInput, "max_length {} is less than the {} special tokens", options.max_length, fixed);
  return options.max_length - fixed;
}

}  // namespace

Encoding Tokenizer::encode_texts(std::string_view first, const std::string_view* second,
                                 const std::vector<TemplatePiece>& pieces,
                                 const EncodeOptions& options) const {
  const int64_t room = room_for_texts(pieces, options);
  const bool pair = second != nullptr;
  const std::string_view texts[2] = {first, pair ? *second : std::string_view()};
  // Which of two texts that are both too long is the longer decides who gets the odd token.
  const int64_t limit = pair ? kNoLimit : room;
  if (options.ids_only && !options.strict_utf8) {
    std::vector<int32_t> found[2];
    for (int i = 0; i < (pair ? 2 : 1); ++i) {
      found[i].reserve(texts[i].size() / 4 + 8);
      state_->ids->split(texts[i], limit, found[i]);
    }
    return assemble(pieces, found, pair, room, options.truncation);
  }
  std::vector<Piece> found[2];
  for (int i = 0; i < (pair ? 2 : 1); ++i) {
    Splitter splitter(state_->model, state_->normalization, state_->added, limit);
    found[i] = splitter.split(texts[i], options.strict_utf8);
  }
  return assemble(pieces, found, pair, room, options.truncation);
}

Encoding Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  static const std::vector<TemplatePiece> kPlain = {{0, 0, {}}};
  return encode_texts(text, nullptr, options.add_special_tokens ? state_->single : kPlain, options);
}

Encoding Tokenizer::encode_pair(std::string_view first, std::string_view second,
                                const EncodeOptions& options) const {
  static const std::vector<TemplatePiece> kPlain = {{0, 0, {}}, {1, 1, {}}};
  const auto& pieces = options.add_special_tokens ? state_->pair : kPlain;
  if (options.add_special_tokens && pieces.empty()) {
    fail(ErrorKind::kUnsupported, "this tokenizer has no template for pairs of texts");
  }
  return encode_texts(first, &second, pieces, options);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  for (const int32_t id : ids) {
    const std::string_view piece = token(id);
    if (skip_special && is_special(id)) continue;
    if (!text.empty() && !state_->prefix.empty() && piece.starts_with(state_->prefix)) {
      text += piece.substr(state_->prefix.size());
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

std::string_view Tokenizer::token(int32_t id) const {
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

StoredTokenizer Tokenizer::stored() const {
  return {state_->json, state_->vocabulary.tables(), nullptr};
}

std::vector<Encoding> encode_all(const Tokenizer& tokenizer, ThreadPool& pool,
                                 std::span<const std::string> texts, const EncodeOptions& options) {
  constexpr std::size_t kChunk = 32;
  std::vector<Encoding> encodings(texts.size());
  const std::size_t num_chunks = (texts.size() + kChunk - 1) / kChunk;
  pool.parallel_for(static_cast<int64_t>(num_chunks), [&](int64_t chunk, int) {
    const std::size_t begin = static_cast<std::size_t>(chunk) * kChunk;
    for (std::size_t i = begin; i < std::min(begin + kChunk, texts.size()); ++i)
      encodings[i] = tokenizer.encode(texts[i], options);
  });
  return encodings;
}

}  // namespace penjing
