// retrieval: queries and the documents that answer them, a folder in the layout of BEIR; every relevant
// document of a query is an example, multiple-negatives ranking. Scored as the task retrieval of eval/ does,
// on the same corpus.
#include "base/error.h"
#include "data/retrieval_set.h"
#include "model/prompts.h"
#include "train/ranking_objective.h"

namespace penjing::train {

namespace {

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  const RetrievalSet set = read_retrieval_set(input.data.data, input.train_split);
  RankingData data(prompt_for(model.sentence, TextRole::kQuery),
                   prompt_for(model.sentence, TextRole::kDocument));
  data.file = input.data.data;
  data.reading = set.reading;
  std::vector<int64_t> numbers;
  std::set<int64_t> corpus;
  for (const std::string& document : set.documents) {
    numbers.push_back(data.number_of(document));
    corpus.insert(numbers.back());
  }
  data.corpus.assign(corpus.begin(), corpus.end());
  for (const RetrievalSet::Query& query : set.queries) {
    const std::set<std::size_t> relevant = [&] {
      std::set<std::size_t> documents;
      for (const auto& entry : query.relevant) documents.insert(entry.first);
      return documents;
    }();
    for (const std::size_t document : relevant) {
      if (input.data.limit > 0 && data.examples.size() == input.data.limit) break;
      data.add(query.text, set.documents[document], {});
    }
    // Beyond the limit too: they are never wrong.
    for (const std::size_t document : relevant)
      data.right[data.number_of_anchor(query.text)].insert(numbers[document]);
  }
  TaskInput held_back = input.data;
  held_back.split = input.eval_split;
  held_back.limit = 0;
  return make_ranking_objective(model, tokenizer, input, std::move(data), RankingLoss::kMultipleNegatives,
                                [held_back](const TaskModel& task_model) {
                                  return find_task("retrieval")->run(task_model, held_back);
                                });
}

}  // namespace

extern const ObjectiveKind retrieval_objective;
const ObjectiveKind retrieval_objective = {"retrieval", "",
                                           "queries and documents (a BEIR folder): embeddings", make};

}  // namespace penjing::train
