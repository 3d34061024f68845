#include "train/batches.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"

namespace penjing::train {

namespace {

constexpr uint64_t kOrderStream = 0x6f72646572;  // + permutation, + group << 40
constexpr uint64_t kStepsStream = 0x7374657073;  // + epoch

template <typename T>
void shuffle(std::vector<T>& items, Rng rng) {
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[rng.below(i)]);
}

}  // namespace

Batches::Batches(std::vector<int64_t> tokens, Settings settings, std::vector<Group> groups)
    : tokens_(std::move(tokens)), settings_(settings), groups_(std::move(groups)), steps_before_{0} {
  if (tokens_.empty()) fail(ErrorKind::kInput, "there are no examples to train on");
  if (settings_.batch_tokens <= 0 && settings_.batch_size <= 0) {
    fail(ErrorKind::kInput, "a batch of {} examples", settings_.batch_size);
  }
  const auto count = static_cast<int64_t>(tokens_.size());
  if (groups_.empty()) groups_.push_back({count, count});
  int64_t sum = 0;
  for (const Group& group : groups_) {
    if (group.examples < 1 || group.taken < 1)
      fail(ErrorKind::kInternal, "a group of {} examples, {} taken", group.examples, group.taken);
    sum += group.examples;
  }
  if (sum != count) fail(ErrorKind::kInternal, "groups of {} examples together, there are {}", sum, count);
}

void Batches::append_group(std::size_t group, int64_t first, int64_t epoch) {
  const auto [examples, taken] = groups_[group];
  std::vector<int64_t> permutation;
  int64_t pass = -1, sum = 0;
  for (int64_t k = epoch * taken; k < (epoch + 1) * taken; ++k) {
    if (k / examples != pass) {
      pass = k / examples;
      permutation.resize(static_cast<std::size_t>(examples));
      std::iota(permutation.begin(), permutation.end(), first);
      shuffle(permutation,
              Rng(settings_.seed, kOrderStream + (uint64_t{group} << 40) + static_cast<uint64_t>(pass)));
    }
    const auto i = static_cast<int64_t>(order_.size());
    order_.push_back(permutation[static_cast<std::size_t>(k % examples)]);
    const int64_t tokens = tokens_[order_.back()];
    const bool full = settings_.batch_tokens > 0 ? sum > 0 && sum + tokens > settings_.batch_tokens
                                                 : i - cuts_.back() == settings_.batch_size;
    if (full) {
      cuts_.push_back(i);
      sum = 0;
    }
    sum += tokens;
  }
  cuts_.push_back(static_cast<int64_t>(order_.size()));
}

void Batches::shuffle_steps(int64_t epoch) {
  std::vector<std::size_t> steps(cuts_.size() - 1);
  std::iota(steps.begin(), steps.end(), std::size_t{0});
  shuffle(steps, Rng(settings_.seed, kStepsStream + static_cast<uint64_t>(epoch)));
  std::vector<int64_t> order, cuts = {0};
  for (const std::size_t step : steps) {
    order.insert(order.end(), order_.begin() + cuts_[step], order_.begin() + cuts_[step + 1]);
    cuts.push_back(static_cast<int64_t>(order.size()));
  }
  order_ = std::move(order);
  cuts_ = std::move(cuts);
}

void Batches::enter(int64_t epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  order_.clear();
  cuts_.assign(1, 0);
  int64_t first = 0;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    append_group(g, first, epoch);
    first += groups_[g].examples;
  }
  if (groups_.size() > 1) shuffle_steps(epoch);
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

std::size_t Batches::group_of(int64_t example) const {
  std::size_t group = 0;
  for (int64_t end = groups_[0].examples; end <= example; end += groups_[group].examples) ++group;
  return group;
}

std::vector<int64_t> Batches::first_of_groups(int64_t count, int64_t steps) {
  std::vector<int64_t> first, left(groups_.size(), count);
  int64_t wanted = count * static_cast<int64_t>(groups_.size());
  for (int64_t step = 0; step < steps && wanted > 0; ++step) {
    int64_t& more = left[group_of(examples(step).front())];
    if (more == 0) continue;
    --more;
    --wanted;
    first.push_back(step);
  }
  return first;
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
