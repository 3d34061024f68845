#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace penjing::train {

// Which examples each step takes: every epoch is a permutation of them, drawn from (seed, epoch), cut into
// steps of `batch_size` examples, or of as many as fit `batch_tokens`. The last step of an epoch takes what
// is left. The same for any number of ranks; nothing is padded, so that lengths need no sorting.
//
// Of several groups (tasks) each step takes examples of one: each group is cut by itself, and the steps of an
// epoch come in an order drawn from (seed, epoch), as in MT-DNN (Liu et al. 2019, algorithm 1).
class Batches {
 public:
  // So many of the examples, of which an epoch takes `taken`: where those are fewer or more than there are,
  // it goes on where the epoch before stopped, through one permutation after the other.
  struct Group {
    int64_t examples = 0, taken = 0;
  };
  struct Settings {
    int64_t batch_size = 32;
    int64_t batch_tokens = 0;  // instead of batch_size when above 0
    uint64_t seed = 1;
  };
  // tokens: of each example. groups: in the order of the examples, all of them; none: one, taken whole.
  Batches(std::vector<int64_t> tokens, Settings settings, std::vector<Group> groups = {});

  struct Place {
    int64_t epoch = 0, step = 0;  // step within the epoch
  };
  int64_t num_steps(int64_t epochs);  // of the first epochs
  Place place(int64_t step);          // of a step counted from the start of training
  // The examples of a step; valid until the next call.
  std::span<const int64_t> examples(int64_t step);
  // Among the first `steps` the first `count` of each group, in their order.
  std::vector<int64_t> first_of_groups(int64_t count, int64_t steps);

 private:
  void enter(int64_t epoch);
  void append_group(std::size_t group, int64_t first, int64_t epoch);
  void shuffle_steps(int64_t epoch);
  std::size_t group_of(int64_t example) const;
  std::vector<int64_t> tokens_;
  Settings settings_;
  std::vector<Group> groups_;
  int64_t epoch_ = -1;
  std::vector<int64_t> order_, cuts_;  // of epoch_: step s takes order_[cuts_[s], cuts_[s + 1])
  std::vector<int64_t> steps_before_;  // [e]: steps of the epochs before e
};

// Cuts examples, in order, into runs of at most `max_tokens` (or of one example that is longer). tokens: of
// each of them.
std::vector<std::span<const int64_t>> split_by_tokens(std::span<const int64_t> examples,
                                                      std::span<const int64_t> tokens, int64_t max_tokens);

// The examples that rank takes of a step: those at places rank, rank + ranks, ...
std::vector<int64_t> shard(std::span<const int64_t> examples, int rank, int ranks);

}  // namespace penjing::train
