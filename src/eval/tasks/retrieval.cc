// retrieval: are the documents that answer a query ranked first, by the cosine of embeddings? A folder in the
// layout of BEIR. nDCG@10 (the main one), MRR@10, MAP, recall@10 and @100, each the mean over queries.
#include "eval/ranking.h"

namespace penjing {

namespace {

TaskResult run(const TaskModel& model, const TaskInput& input) {
  RetrievalSet set = read_retrieval_set(input.data, input.split.empty() ? "test" : input.split);
  if (input.limit > 0 && set.queries.size() > input.limit) set.queries.resize(input.limit);
  TaskResult result = score_rankings(model, set);
  result.file = input.data;
  return result;
}

}  // namespace

extern const Task retrieval_task;
const Task retrieval_task = {"retrieval", "",
                             "a BEIR folder (corpus, queries, qrels): nDCG@10, MRR, MAP, recall", run};

}  // namespace penjing
