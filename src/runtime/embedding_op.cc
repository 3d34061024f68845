#include "runtime/embedding_op.h"

#include <algorithm>
#include <cstring>
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

}  // namespace

EmbeddingOp::EmbeddingOp(const Model& model) {
  const EmbeddingSpec& spec = model.description.embedding;
  width_ = spec.width;
  vocab_size_ = spec.vocab_size;
  max_length_ = model.description.max_positions;
  word_ = resolve_embedding(model.tensors, spec.word, vocab_size_, width_);
  if (word_.weight.type == DType::kI8) word_scale_ = read_floats(word_.scale, spec.word + ".weight_scale");
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
      const EmbeddingTable table = resolve_embedding(model.tensors, position.name, position.count, width_);
      const std::byte* bytes = table.weight.bytes.data();
      if (table.weight.type == DType::kF32 && reinterpret_cast<uintptr_t>(bytes) % alignof(float) == 0) {
        position_ = {reinterpret_cast<const float*>(bytes), table.weight.bytes.size() / sizeof(float)};
        position_owner_ = table.weight.owner;
      } else {
        expanded_position_ = expand(table);
        position_ = expanded_position_;
      }
      position_ = position_.subspan(static_cast<std::size_t>(position.offset * width_));
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
  return word_.weight.bytes.size() + sizeof(float) * (word_scale_.size() + type_.size() + position_.size());
}

void EmbeddingOp::read_word(int32_t id, float* row) const {
  const int64_t begin = int64_t{id} * width_;
  const std::byte* bytes = word_.weight.bytes.data();
  switch (word_.weight.type) {
    case DType::kF32:
      std::memcpy(row, bytes + begin * 4, static_cast<std::size_t>(width_) * 4);
      break;
    case DType::kI8: {
      const QuantParams params{word_scale_[static_cast<std::size_t>(id)], 0, 0};
      const auto* codes = reinterpret_cast<const int8_t*>(bytes) + begin;
      for (int64_t i = 0; i < width_; ++i) row[i] = dequantize_value(codes[i], params);
      break;
    }
    default:
      word_.read_row(id, {row, static_cast<std::size_t>(width_)});
  }
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
      read_word(tokens.ids[token], row);
      if (!type_.empty()) {
        const int32_t type = tokens.types != nullptr ? tokens.types[token] : 0;
        const float* add = type_.data() + type * width_;
        for (int64_t i = 0; i < width_; ++i) row[i] += add[i];
      }
      if (!position_.empty()) {
        const float* add = position_.data() + place * width_;
        for (int64_t i = 0; i < width_; ++i) row[i] += add[i];
      }
    }
    std::fill(rows + (last - first) * width_, rows + kLaneTokens * width_, 0.0f);
    rows_to_lanes(rows, width_, width_, target + token_offset(first, width_),
                  shape.width(first / kPanelTokens));
  };
  pool.parallel_for(shape.padded_tokens() / kLaneTokens, gather);
}

}  // namespace penjing
