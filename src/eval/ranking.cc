#include "eval/ranking.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/interrupt.h"
#include "eval/metrics.h"

namespace penjing {

namespace {

double length_of(const std::vector<float>& row) {
  double sum = 0;
  for (const float x : row) sum += double{x} * x;
  return std::max(std::sqrt(sum), 1e-12);
}

// Documents by falling cosine; equal ones in the order of the corpus.
std::vector<std::size_t> rank(const std::vector<float>& query, const TaskModel::Rows& documents,
                              const std::vector<double>& lengths) {
  std::vector<double> scores(documents.size());
  for (std::size_t d = 0; d < documents.size(); ++d) {
    double sum = 0;
    for (std::size_t j = 0; j < query.size(); ++j) sum += double{query[j]} * documents[d][j];
    scores[d] = sum / lengths[d];
  }
  std::vector<std::size_t> order(documents.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  return order;
}

}  // namespace

TaskResult score_rankings(const TaskModel& model, const RetrievalSet& set) {
  if (!model.embed) fail(ErrorKind::kUnsupported, "the model has no pooling: it gives no embeddings");
  std::vector<std::string> texts;
  for (const auto& query : set.queries) texts.push_back(query.text);
  const TaskModel::Rows documents = model.embed_documents(set.documents),
                        queries = model.embed_queries(texts);
  std::vector<double> lengths;
  for (const auto& row : documents) lengths.push_back(length_of(row));
  std::vector<double> ndcg, mrr, map, recall_10, recall_100;
  TaskResult result;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    check_interrupt();
    const auto order = rank(queries[q], documents, lengths);
    const auto& relevant = set.queries[q].relevant;
    std::vector<double> ranked, all;
    for (const std::size_t document : order) {
      const auto found = relevant.find(document);
      ranked.push_back(found == relevant.end() ? 0 : found->second);
    }
    for (const auto& entry : relevant) all.push_back(entry.second);
    ndcg.push_back(ndcg_at(ranked, all, 10));
    mrr.push_back(reciprocal_rank(ranked, 10));
    map.push_back(average_precision(ranked, all.size()));
    recall_10.push_back(recall_at(ranked, all.size(), 10));
    recall_100.push_back(recall_at(ranked, all.size(), 100));
    result.outputs.push_back(static_cast<double>(order.front()));
  }
  result.num_examples = set.queries.size();
  result.reading = set.reading;
  result.how = "cosine of embeddings";
  result.metrics = {mean_metric("ndcg_at_10", ndcg), mean_metric("mrr_at_10", mrr), mean_metric("map", map),
                    mean_metric("recall_at_10", recall_10), mean_metric("recall_at_100", recall_100)};
  return result;
}

}  // namespace penjing
