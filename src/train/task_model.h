#pragma once

#include "eval/evaluation.h"
#include "train/objective.h"

namespace penjing::train {

// The network as the tasks of eval/ see it: what `penjing eval` asks of the runtime, asked of the model in
// training. Everything must outlive what is returned. Forwards are bounded by `kEvaluationTokens` tokens
// each.
inline constexpr int64_t kEvaluationTokens = 4096;
TaskModel make_task_model(const Network& network, const Tokenizer& tokenizer, const ForwardContext& context,
                          int64_t max_length, ThreadPool& pool);

}  // namespace penjing::train
