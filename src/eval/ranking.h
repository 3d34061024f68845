#pragma once

#include "data/retrieval_set.h"
#include "eval/evaluation.h"

namespace penjing {

// Are the documents that answer a query ranked first, by the cosine of embeddings? nDCG@10 (the main one),
// MRR@10, MAP, recall@10 and @100, each the mean over queries. kUnsupported when the model gives no
// embeddings.
TaskResult score_rankings(const TaskModel& model, const RetrievalSet& set);

}  // namespace penjing
