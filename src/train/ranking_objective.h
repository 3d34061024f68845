#pragma once

#include <functional>
#include <memory>
#include <set>
#include <unordered_map>

#include "train/objective.h"
#include "train/objective_params.h"

namespace penjing::train {

// Texts to be embedded so that what belongs together is near: what the objectives pairs, triplets and
// retrieval read.
struct RankingData {
  std::filesystem::path file;
  std::string reading;
  // One prompt for the anchors and one for all other texts; where they are the same, a text is one text
  // whatever it is used for.
  RankingData() = default;
  RankingData(std::string anchor_prompt, std::string text_prompt)
      : anchor_prompt_(std::move(anchor_prompt)), text_prompt_(std::move(text_prompt)) {}

  std::vector<std::string> texts;                        // distinct, or with distinct prompts
  std::vector<std::string> prompts;                      // of each text
  std::vector<std::vector<int64_t>> examples;            // numbers of texts: anchor, positive, negatives
  std::unordered_map<int64_t, std::set<int64_t>> right;  // anchor -> all texts that are right for it
  std::vector<int64_t> corpus;                           // distinct texts that negatives are mined from

  // The number of a text, a new one when it was not there; number_of_anchor: as an anchor.
  int64_t number_of(const std::string& text) { return number_of(text_prompt_, text); }
  int64_t number_of_anchor(const std::string& text) { return number_of(anchor_prompt_, text); }
  void add(const std::string& anchor, const std::string& positive, const std::vector<std::string>& negatives);

 private:
  int64_t number_of(const std::string& prompt, const std::string& text);
  std::string anchor_prompt_, text_prompt_;
  std::unordered_map<std::string, int64_t> numbers_;
};

enum class RankingLoss { kMultipleNegatives, kTriplet };

// Trains on them. Parameters:
//   loss           multiple-negatives or triplet; `fallback` is the default
//   scale          20, of cosines; symmetric: false (multiple negatives)
//   distance       euclidean or cosine; margin: 5, or 0.5 of cosine distances (triplet)
//   chunk_tokens   4096: tokens in memory at once (chunked_loss.h)
//   hard_negatives 0: how many texts are mined for each example before training: of the model's own ranking
//   of the
//                  corpus by cosine, right answers left out, those of ranks negatives_from (from 1) to
//                  negatives_to are candidates, `hard_negatives` of them drawn with the seed.
//                  negative_margin: candidates must have a cosine at least so far below the positive's
//                  (default -2: all are taken)
//   pooling        sentence_encoder.h
//   matryoshka, matryoshka_weights: matryoshka.h
// In a batch of multiple negatives, another example's positive that is right for an anchor too is left out
// for it.
std::unique_ptr<Objective> make_ranking_objective(Model& model, const Tokenizer& tokenizer,
                                                  const ObjectiveInput& input, RankingData data,
                                                  RankingLoss fallback,
                                                  std::function<TaskResult(const TaskModel&)> evaluate);

}  // namespace penjing::train
