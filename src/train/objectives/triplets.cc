// triplets: an anchor, a text that belongs to it and one that does not (or several): triplet loss, or
// multiple negatives with the wrong texts of all as further ones. Scored on the held-back triplets: the share
// whose right text is nearer in cosine than every wrong one (Sentence-Transformers' cosine_accuracy).
#include "base/error.h"
#include "data/text_tuples.h"
#include "eval/agreement.h"
#include "model/prompts.h"
#include "train/ranking_objective.h"

namespace penjing::train {

namespace {

TaskResult score_triplets(const TaskModel& model, const TextTuples& tuples) {
  const std::size_t width = 2 + tuples.num_negatives;
  std::vector<std::string> texts;
  for (const TextTuple& row : tuples.rows) {
    texts.push_back(row.anchor);
    texts.push_back(row.positive);
    texts.insert(texts.end(), row.negatives.begin(), row.negatives.end());
  }
  const TaskModel::Rows rows = model.embed(texts);
  TaskResult result;
  for (std::size_t i = 0; i < tuples.rows.size(); ++i) {
    const std::vector<float>& anchor = rows[i * width];
    const double right = cosine(anchor, rows[i * width + 1]);
    bool nearer = true;
    for (std::size_t n = 2; n < width; ++n) nearer = nearer && right > cosine(anchor, rows[i * width + n]);
    result.outputs.push_back(nearer ? 1 : 0);
  }
  result.num_examples = tuples.rows.size();
  result.file = tuples.file;
  result.reading = tuples.reading;
  result.how = "cosine of embeddings";
  result.metrics = {mean_metric("cosine_accuracy", result.outputs)};
  return result;
}

TextTuples read(const ObjectiveInput& input, const std::string& split) {
  TextTuples tuples = read_text_tuples(find_split(input.data.data, split), input.data.columns);
  if (tuples.num_negatives == 0)
    fail(ErrorKind::kInput, "{}: no column of negatives ({}); pairs alone are --task pairs",
         tuples.file.string(), tuples.reading);
  return tuples;
}

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  const TextTuples train = read(input, input.train_split);
  const std::string prompt = prompt_for(model.sentence, TextRole::kText);
  RankingData data(prompt, prompt);
  data.file = train.file;
  data.reading = train.reading;
  for (const TextTuple& row : train.rows) {
    data.add(row.anchor, row.positive, row.negatives);
    if (data.examples.size() == input.data.limit) break;
  }
  TextTuples dev;
  if (!input.eval_split.empty()) dev = read(input, input.eval_split);
  return make_ranking_objective(
      model, tokenizer, input, std::move(data), RankingLoss::kTriplet,
      [dev = std::move(dev)](const TaskModel& task_model) { return score_triplets(task_model, dev); });
}

}  // namespace

extern const ObjectiveKind triplets_objective;
const ObjectiveKind triplets_objective = {"triplets", "", "an anchor, a right and a wrong text: embeddings",
                                          make};

}  // namespace penjing::train
