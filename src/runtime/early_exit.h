#pragma once

#include <functional>
#include <memory>
#include <span>

#include "base/thread_pool.h"
#include "runtime/engine.h"

namespace penjing {

// Rows of a model with exits (model/exits.h) that leave at the first one whose distribution has an entropy
// below `entropy`, as a share of the largest possible, the logarithm of the number of classes (0: none
// leaves); or with `layer` behind so many layers, whatever they say.
struct EarlyExit {
  double entropy = 0;
  int64_t layer = 0;
  // Hears of each row how many tokens it has and how many layers it went through; may be empty. Called in the
  // thread of predict().
  std::function<void(int64_t tokens, int64_t layers)> on_row;
};

// A session of the engine whose class logits leave early: the tokens that leave take no part in what
// follows, so that their time is saved. What a row gives still depends on its own sequence alone. Class
// logits take no tap; what is no class logits is computed as in other sessions. kInput where the model has no
// such exit.
std::unique_ptr<Predictor> new_exiting_session(const Engine& engine, std::shared_ptr<ThreadPool> pool,
                                               EarlyExit exit, int64_t max_batch_tokens = 16384);

// The entropy of softmax(logits), divided by the logarithm of their number: from 0, one class is certain, to
// 1, all are alike. Summed in double in the order of the classes and rounded to float.
float relative_entropy(std::span<const float> logits);

}  // namespace penjing
