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
  word_ = resolve_embedding(model.tensors, spec.word, vocab_size_, width_);
  word_scale_ = scales_of(word_);
  if (!spec.token_type.empty()) {
    num_types_ = spec.type_vocab_size;
    type_ = expand(resolve_embedding(model.tensors, spec.token_type, num_types_, width_));
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
      position_ = resolve_embedding(model.tensors, position.name, position.count, width_);
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
  const int64_t begin = index * width_;
  switch (table.weight.type) {
    case DType::kF32:
      for (int64_t i = 0; i < width_; ++i) {
        float value = 0;
        std::memcpy(&value, bytes + (begin + i) * 4, sizeof value);  // may be unaligned
        put(i, value);
      }
      break;
    case DType::kI8: {
      const QuantParams params{scale[static_cast<std::size_t>(index)], 0, 0};
      const auto* codes = reinterpret_cast<const int8_t*>(bytes) + begin;
      for (int64_t i = 0; i < width_; ++i) put(i, dequantize_value(codes[i], params));
      break;
    }
    default:
      float values[64];
      for (int64_t i = 0; i < width_; i += std::ssize(values)) {
        const int64_t count = std::min<int64_t>(std::ssize(values), width_ - i);
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

void EmbeddingOp::run(const TokenSpan& tokens, ThreadPool& pool, float* target, float* scratch) const {
  const PanelShape shape{tokens.num_tokens()};
  const auto gather = [&](int64_t group, int thread) {
    const int64_t first = group * kLaneTokens;
    const int64_t last = std::min(first + kLaneTokens, shape.num_tokens);
    // The sequence of the first token: binary search over the offsets.
    const int64_t* end = tokens.offsets + tokens.num_sequences + 1;
    const int64_t* next = std::upper_bound(tokens.offsets, end, tokens.offsets[0] + first);
    float* rows = scratch + thread * scratch_floats();
    for (int64_t token = first; token < last; ++token) {
      while (*next - tokens.offsets[0] <= token) ++next;
      const int64_t place = token - (*(next - 1) - tokens.offsets[0]);
      float* row = rows + (token - first) * width_;
      read<false>(word_, word_scale_, tokens.ids[token], row);
      if (!type_.empty()) {
        const int32_t type = tokens.types != nullptr ? tokens.types[token] : 0;
        const float* add = type_.data() + type * width_;
        for (int64_t i = 0; i < width_; ++i) row[i] += add[i];
      }
      if (position_.rows > 0) read<true>(position_, position_scale_, first_position_ + place, row);
    }
    std::fill(rows + (last - first) * width_, rows + kLaneTokens * width_, 0.0f);
    rows_to_lanes(rows, width_, width_, target + token_offset(first, width_),
                  shape.width(first / kPanelTokens));
  };
  pool.parallel_for(shape.padded_tokens() / kLaneTokens, gather);
}

}  // namespace penjing
