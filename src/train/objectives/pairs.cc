// pairs: texts that belong together (a question and its answer, two wordings) become near in the space of
// embeddings: multiple-negatives ranking, the other pairs of a batch are the wrong answers. Scored on the
// held-back pairs: the right text among all of them.
#include "data/text_tuples.h"
#include "eval/ranking.h"
#include "model/prompts.h"
#include "train/ranking_objective.h"

namespace penjing::train {

namespace {

// Every pair's second text is the document that answers its first.
RetrievalSet as_retrieval(const TextTuples& tuples) {
  RetrievalSet set;
  std::unordered_map<std::string, std::size_t> documents, queries;
  for (const TextTuple& row : tuples.rows) {
    const auto [document, new_document] = documents.emplace(row.positive, set.documents.size());
    if (new_document) {
      set.documents.push_back(row.positive);
      set.document_ids.push_back(std::to_string(document->second));
    }
    const auto [query, new_query] = queries.emplace(row.anchor, set.queries.size());
    if (new_query) set.queries.push_back({std::to_string(query->second), row.anchor, {}});
    set.queries[query->second].relevant[document->second] = 1;
  }
  set.reading = tuples.reading;
  return set;
}

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  const TextTuples train =
      read_text_tuples(find_split(input.data.data, input.train_split), input.data.columns);
  RankingData data(prompt_for(model.sentence, TextRole::kQuery),
                   prompt_for(model.sentence, TextRole::kDocument));
  data.file = train.file;
  data.reading = train.reading;
  for (const TextTuple& row : train.rows) {
    data.add(row.anchor, row.positive, row.negatives);
    if (data.examples.size() == input.data.limit) break;
  }
  TextTuples dev;
  if (!input.eval_split.empty())
    dev = read_text_tuples(find_split(input.data.data, input.eval_split), input.data.columns);
  return make_ranking_objective(model, tokenizer, input, std::move(data), RankingLoss::kMultipleNegatives,
                                [set = as_retrieval(dev), file = dev.file](const TaskModel& task_model) {
                                  TaskResult result = score_rankings(task_model, set);
                                  result.file = file;
                                  return result;
                                });
}

}  // namespace

extern const ObjectiveKind pairs_objective;
const ObjectiveKind pairs_objective = {"pairs", "",
                                       "texts that belong together: embeddings, in-batch negatives", make};

}  // namespace penjing::train
