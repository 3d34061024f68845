#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace penjing::train {

// Which examples each step takes: every epoch is a permutation of them, drawn from (seed, epoch), cut into
// steps of `batch_size` examples, or of as many as fit `batch_tokens`. The last step of an epoch takes what
// is left. The same for any number of ranks; nothing is padded, so that lengths need no sorting.
class Batches {
 public:
  struct Settings {
    int64_t batch_size = 32;
    int64_t batch_tokens = 0;  // instead of batch_size when above 0
    uint64_t seed = 1;
  };
  // tokens: of each example.
  Batches(std::vector<int64_t> tokens, Settings settings);

  struct Place {
    int64_t epoch = 0, step = 0;  // step within the epoch
  };
  int64_t num_steps(int64_t epochs);  // of the first epochs
  Place place(int64_t step);          // of a step counted from the start of training
  // The examples of a step; valid until the next call.
  std::span<const int64_t> examples(int64_t step);

 private:
  void enter(int64_t epoch);
  std::vector<int64_t> tokens_;
  Settings settings_;
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
