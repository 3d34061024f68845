#include "train/batches.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"

namespace penjing::train {

namespace {

constexpr uint64_t kOrderStream = 0x6f72646572;  // + epoch

}  // namespace

Batches::Batches(std::vector<int64_t> tokens, Settings settings)
    : tokens_(std::move(tokens)), settings_(settings), steps_before_{0} {
  if (tokens_.empty()) fail(ErrorKind::kInput, "there are no examples to train on");
  if (settings_.batch_tokens <= 0 && settings_.batch_size <= 0) {
    fail(ErrorKind::kInput, "a batch of {} examples", settings_.batch_size);
  }
}

void Batches::enter(int64_t epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  order_.resize(tokens_.size());
  std::iota(order_.begin(), order_.end(), 0);
  Rng rng(settings_.seed, kOrderStream + static_cast<uint64_t>(epoch));
  for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[rng.below(i)]);
  cuts_.assign(1, 0);
  const auto count = static_cast<int64_t>(order_.size());
  int64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t tokens = tokens_[order_[i]];
    const bool full = settings_.batch_tokens > 0 ? sum > 0 && sum + tokens > settings_.batch_tokens
                                                 : i - cuts_.back() == settings_.batch_size;
    if (full) {
      cuts_.push_back(i);
      sum = 0;
    }
    sum += tokens;
  }
  cuts_.push_back(count);
}

int64_t Batches::num_steps(int64_t epochs) {
  while (static_cast<int64_t>(steps_before_.size()) <= epochs) {
    enter(static_cast<int64_t>(steps_before_.size()) - 1);
    steps_before_.push_back(steps_before_.back() + static_cast<int64_t>(cuts_.size()) - 1);
  }
  return steps_before_[epochs];
}

Batches::Place Batches::place(int64_t step) {
  int64_t epoch = 0;
  while (num_steps(epoch + 1) <= step) ++epoch;
  return {epoch, step - steps_before_[epoch]};
}

std::span<const int64_t> Batches::examples(int64_t step) {
  const Place at = place(step);
  enter(at.epoch);
  return std::span(order_).subspan(cuts_[at.step], cuts_[at.step + 1] - cuts_[at.step]);
}

std::vector<std::span<const int64_t>> split_by_tokens(std::span<const int64_t> examples,
                                                      std::span<const int64_t> tokens, int64_t max_tokens) {
  std::vector<std::span<const int64_t>> parts;
  std::size_t begin = 0;
  int64_t sum = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const int64_t more = tokens[i];
    if (i > begin && sum + more > max_tokens) {
      parts.push_back(examples.subspan(begin, i - begin));
      begin = i;
      sum = 0;
    }
    sum += more;
  }
  if (begin < examples.size()) parts.push_back(examples.subspan(begin));
  return parts;
}

std::vector<int64_t> shard(std::span<const int64_t> examples, int rank, int ranks) {
  std::vector<int64_t> mine;
  for (std::size_t i = static_cast<std::size_t>(rank); i < examples.size(); i += ranks)
    mine.push_back(examples[i]);
  return mine;
}

}  // namespace penjing::train
