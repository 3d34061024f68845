#include "runtime/embedding_op.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>

#include "base/error.h"
#include "numerics/quantizer.h"
#include "runtime/panel_rows.h"

namespace penjing {
namespace {

std::vector<float> expand(const EmbeddingTable& table) {
  std::vector<float> values(static_cast<std::size_t>(table.rows * table.width));
  for (int64_t row = 0; row < table.rows; ++row) {
    table.read_row(row, {values.data() + row * table.width, static_cast<std::size_t>(table.width)});
  }
  return values;
}

std::vector<float> scales_of(const EmbeddingTable& table) {
  if (table.weight.type != DType::kI8) return {};
  return read_floats(table.scale, table.name + ".weight_scale");
}

}  // namespace

EmbeddingOp::EmbeddingOp(const Model& model) {
  const EmbeddingSpec& spec = model.description.embedding;
  width_ = spec.width;
  vocab_size_ = spec.vocab_size;
  max_length_ = model.description.max_positions;
  trigram_ = spec.trigram;
  if (trigram_ && !spec.projects_words)
    fail(ErrorKind::kUnsupported, "{}: trigrams that are not projected before positions are added",
         spec.word);
  row_width_ = spec.word_width();
  added_width_ = spec.projects_words ? spec.table_width() : 0;
  const int64_t table_width = spec.table_width();
  word_ = resolve_embedding(model.tensors, spec.word, vocab_size_, width_);
  word_scale_ = scales_of(word_);
  if (!spec.token_type.empty()) {
    num_types_ = spec.type_vocab_size;
    type_ = expand(resolve_embedding(model.tensors, spec.token_type, num_types_, table_width));
  }
  const PositionSpec& position = spec.position;
  switch (position.scheme) {
    case PositionScheme::kNone:
      break;
    case PositionScheme::kLearned:
    case PositionScheme::kLearnedOffset: {
      if (position.offset < 0 || position.offset >= position.count) {
        fail(ErrorKind::kFormat, "{}: the first position is row {} of {}", position.name, position.offset,
             position.count);
      }
      position_ = resolve_embedding(model.tensors, position.name, position.count, table_width);
      position_scale_ = scales_of(position_);
      first_position_ = position.offset;
      const int64_t rows = position.count - position.offset;
      max_length_ = max_length_ > 0 ? std::min(max_length_, rows) : rows;
      break;
    }
    case PositionScheme::kRelativeBuckets:
      fail(ErrorKind::kUnsupported, "{}: relative position buckets", position.name);
    case PositionScheme::kRotary:
      fail(ErrorKind::kUnsupported, "{}: rotary positions", position.name);
  }
  if (max_length_ <= 0)
    fail(ErrorKind::kFormat, "max_position_embeddings: {}, wanted 1 or more", max_length_);
}

std::size_t EmbeddingOp::bytes() const {
  return word_.weight.bytes.size() + position_.weight.bytes.size() +
         sizeof(float) * (word_scale_.size() + position_scale_.size() + type_.size());
}

template <bool Add>
void EmbeddingOp::read(const EmbeddingTable& table, const std::vector<float>& scale, int64_t index,
                       float* row) const {
  const auto put = [row](int64_t i, float value) { row[i] = Add ? row[i] + value : value; };
  const std::byte* bytes = table.weight.bytes.data();
  const int64_t width = table.width, begin = index * width;
  switch (table.weight.type) {
    case DType::kF32:
      for (int64_t i = 0; i < width; ++i) {
        float value = 0;
        std::memcpy(&value, bytes + (begin + i) * 4, sizeof value);  // may be unaligned
        put(i, value);
      }
      break;
    case DType::kI8: {
      const QuantParams params{scale[static_cast<std::size_t>(index)], 0, 0};
      const auto* codes = reinterpret_cast<const int8_t*>(bytes) + begin;
      for (int64_t i = 0; i < width; ++i) put(i, dequantize_value(codes[i], params));
      break;
    }
    default:
      float values[64];
      for (int64_t i = 0; i < width; i += std::ssize(values)) {
        const int64_t count = std::min<int64_t>(std::ssize(values), width - i);
        read_floats(table.weight, begin + i, {values, static_cast<std::size_t>(count)}, table.name);
        for (int64_t j = 0; j < count; ++j) put(i + j, values[j]);
      }
  }
}

void EmbeddingOp::mean_rows(const int32_t* ids, int64_t count, float* row) const {
  std::fill_n(row, width_, 0.0f);
  for (int64_t i = 0; i < count; ++i) read<true>(word_, word_scale_, ids[i], row);
  const auto divisor = static_cast<float>(count);
  for (int64_t k = 0; k < width_ && count > 0; ++k) row[k] /= divisor;
}

void EmbeddingOp::read_words(const TokenSpan& tokens, const Token& token, float* row) const {
  if (!trigram_) return read<false>(word_, word_scale_, tokens.ids[token.index], row);
  for (int64_t i = 0; i < 3; ++i) {  // the next token, this one, the one before
    const int64_t place = token.place + 1 - i;
    float* part = row + i * width_;
    if (place >= 0 && place < token.length) {
      read<false>(word_, word_scale_, tokens.ids[token.index + 1 - i], part);
    } else {
      std::fill_n(part, width_, 0.0f);
    }
  }
}

template <bool Add>
void EmbeddingOp::read_tables(const TokenSpan& tokens, const Token& token, float* row) const {
  const int64_t width = added_width_ > 0 ? added_width_ : width_;
  if (!type_.empty()) {
    const int32_t type = tokens.types != nullptr ? tokens.types[token.index] : 0;
    const float* from = type_.data() + type * width;
    for (int64_t i = 0; i < width; ++i) row[i] = Add ? row[i] + from[i] : from[i];
  } else if (!Add) {
    std::fill_n(row, width, 0.0f);
  }
  if (position_.rows > 0) read<true>(position_, position_scale_, first_position_ + token.place, row);
}

template <typename Write>
void EmbeddingOp::fill_panels(const TokenSpan& tokens, ThreadPool& pool, int64_t width, float* target,
                              float* scratch, Write write) const {
  const PanelShape shape{tokens.num_tokens()};
  pool.parallel_for(shape.padded_tokens() / kLaneTokens, [&](int64_t group, int thread) {
    const int64_t first = group * kLaneTokens;
    const int64_t last = std::min(first + kLaneTokens, shape.num_tokens);
    // The sequence of the first token: binary search over the offsets.
    const int64_t* end = tokens.offsets + tokens.num_sequences + 1;
    const int64_t* next = std::upper_bound(tokens.offsets, end, tokens.offsets[0] + first);
    float* rows = scratch + thread * scratch_floats();
    for (int64_t token = first; token < last; ++token) {
      while (*next - tokens.offsets[0] <= token) ++next;
      const int64_t begin = *(next - 1) - tokens.offsets[0];
      write(Token{token, token - begin, *next - *(next - 1)}, rows + (token - first) * width);
    }
    std::fill(rows + (last - first) * width, rows + kLaneTokens * width, 0.0f);
    rows_to_lanes(rows, width, width, target + token_offset(first, width), shape.width(first / kPanelTokens));
  });
}

void EmbeddingOp::run(const TokenSpan& tokens, ThreadPool& pool, float* target, float* added,
                      float* scratch) const {
  fill_panels(tokens, pool, row_width_, target, scratch, [&](const Token& token, float* row) {
    read_words(tokens, token, row);
    if (added_width_ == 0) read_tables<true>(tokens, token, row);
  });
  if (added_width_ == 0) return;
  fill_panels(tokens, pool, added_width_, added, scratch,
              [&](const Token& token, float* row) { read_tables<false>(tokens, token, row); });
}

}  // namespace penjing
