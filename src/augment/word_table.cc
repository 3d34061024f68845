#include "augment/word_table.h"

#include <algorithm>
#include <cmath>

namespace penjing::augment {

float dot(const float* x, const float* y, int64_t width) {
  constexpr int kChains = 16;
  float chains[kChains] = {};
  int64_t k = 0;
  for (; k + kChains <= width; k += kChains) {
    for (int c = 0; c < kChains; ++c) chains[c] += x[k + c] * y[k + c];
  }
  float sum = 0;
  for (const float chain : chains) sum += chain;
  for (; k < width; ++k) sum += x[k] * y[k];
  return sum;
}

WordTable::WordTable(const EmbeddingTable& table, const Tokenizer& tokenizer, ThreadPool& pool)
    : num_rows_(table.rows),
      width_(table.width),
      begins_(static_cast<std::size_t>(table.rows), 1),
      rows_(static_cast<std::size_t>(table.rows * table.width)),
      inverse_norms_(static_cast<std::size_t>(table.rows)) {
  const std::string& prefix = tokenizer.continuing_prefix();
  for (int64_t i = 0; i < std::min(num_rows_, tokenizer.vocab_size()); ++i)
    begins_[static_cast<std::size_t>(i)] =
        tokenizer.token(static_cast<int32_t>(i)).starts_with(prefix) ? 0 : 1;
  pool.parallel_for(num_rows_, [&](int64_t i, int) {
    table.read_row(i, {rows_.data() + i * width_, static_cast<std::size_t>(width_)});
  });
  subtract_means(pool);
  const std::vector<float> direction = find_direction(pool);
  pool.parallel_for(num_rows_, [&](int64_t i, int) {
    float* values = rows_.data() + i * width_;
    const float along = dot(values, direction.data(), width_);
    for (int64_t k = 0; k < width_; ++k) values[k] -= along * direction[static_cast<std::size_t>(k)];
    const float norm = std::sqrt(dot(values, values, width_));
    inverse_norms_[static_cast<std::size_t>(i)] = norm > 0 ? 1 / norm : 0;
  });
}

void WordTable::subtract_means(ThreadPool& pool) {
  pool.parallel_for(width_, [&](int64_t k, int) {
    double sum[2] = {};
    int64_t count[2] = {};
    for (int64_t i = 0; i < num_rows_; ++i) {
      const int kind = begins_[static_cast<std::size_t>(i)];
      sum[kind] += double{row(i)[k]};
      ++count[kind];
    }
    for (int64_t i = 0; i < num_rows_; ++i) {
      const int kind = begins_[static_cast<std::size_t>(i)];
      rows_[static_cast<std::size_t>(i * width_ + k)] -=
          static_cast<float>(sum[kind] / static_cast<double>(count[kind]));
    }
  });
}

// By power iteration on the second moment; of length 1.
std::vector<float> WordTable::find_direction(ThreadPool& pool) const {
  constexpr int kMostSteps = 100;
  constexpr float kEnough = 1e-6f;  // of 1 - cosine between two steps
  std::vector<float> direction(static_cast<std::size_t>(width_), 1.0f), next(direction);
  std::vector<float> along(static_cast<std::size_t>(num_rows_), 0.0f);
  for (int step = 0; step < kMostSteps; ++step) {
    pool.parallel_for(num_rows_, [&](int64_t i, int) {
      const auto at = static_cast<std::size_t>(i);
      if (begins_[at] != 0) along[at] = dot(row(i), direction.data(), width_);
    });
    std::fill(next.begin(), next.end(), 0.0f);
    for (int64_t i = 0; i < num_rows_; ++i) {
      const float weight = along[static_cast<std::size_t>(i)];
      for (int64_t k = 0; k < width_; ++k) next[static_cast<std::size_t>(k)] += weight * row(i)[k];
    }
    const float norm = std::sqrt(dot(next.data(), next.data(), width_));
    if (norm == 0) return std::vector<float>(static_cast<std::size_t>(width_), 0.0f);
    for (float& value : next) value /= norm;
    const bool done = step > 0 && 1 - dot(next.data(), direction.data(), width_) < kEnough;
    direction = next;
    if (done) break;
  }
  return direction;
}

std::vector<float> WordTable::direction(std::span<const int32_t> pieces) const {
  std::vector<float> mean(static_cast<std::size_t>(width_), 0.0f);
  for (const int32_t piece : pieces) {
    const float* row = rows_.data() + piece * width_;
    for (int64_t k = 0; k < width_; ++k) mean[static_cast<std::size_t>(k)] += row[k];
  }
  const float norm = std::sqrt(dot(mean.data(), mean.data(), width_));
  for (float& value : mean) value = norm > 0 ? value / norm : 0;
  return mean;
}

std::vector<int32_t> WordTable::nearest(std::span<const float> direction, std::span<const int32_t> among,
                                        std::size_t count) const {
  std::vector<std::pair<float, int32_t>> scored;
  scored.reserve(among.size());
  for (const int32_t piece : among) {
    const float cosine = dot(direction.data(), rows_.data() + piece * width_, width_) *
                         inverse_norms_[static_cast<std::size_t>(piece)];
    scored.emplace_back(-cosine, piece);
  }
  count = std::min(count, scored.size());
  std::partial_sort(scored.begin(), scored.begin() + static_cast<std::ptrdiff_t>(count), scored.end());
  std::vector<int32_t> pieces;
  for (std::size_t i = 0; i < count; ++i) pieces.push_back(scored[i].second);
  return pieces;
}

std::vector<int32_t> whole_words(const Tokenizer& tokenizer) {
  EncodeOptions how;
  how.add_special_tokens = false;
  how.ids_only = true;
  std::vector<int32_t> pieces;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.is_special(id) || id == tokenizer.unk_id()) continue;
    if (tokenizer.encode(tokenizer.token(id), how).ids == std::vector<int32_t>{id}) pieces.push_back(id);
  }
  return pieces;
}

bool is_alphabetic(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

}  // namespace penjing::augment
