#pragma once

#include <memory>
#include <span>
#include <vector>

#include "compress/method.h"
#include "distill/answers.h"
#include "distill/outputs_tap.h"
#include "model/model.h"
#include "predict/predictor.h"
#include "train/objective.h"

namespace penjing::distill {

// A teacher with quantized weights that is asked in the inference runtime, whose products are those of its
// integers: it says what it says where it is used, and says it sooner than the trainer, which would multiply
// the numbers that the integers stand for. Attention scores are made of its queries and keys.
class RuntimeTeacher {
 public:
  // Whether it can say `parts`, all that is wanted of it. False: the weights are not quantized; logits and
  // embeddings both; scores with relative positions or windows; no such head.
  static bool can_say(const Model& teacher, std::span<const AnswerPart> parts);

  RuntimeTeacher(std::shared_ptr<const Model> model, NewPredictor new_predictor);

  // As Teacher::read_tokens().
  void read_tokens(std::vector<int64_t> map) { token_map_ = std::move(map); }
  // Of all sequences of the examples, on the CPU. What it says of a sequence does not depend on the others.
  Outputs run(const train::Objective& task, const OutputNeeds& needs, std::span<const int64_t> examples);
  // Of its memory, until it is asked again.
  void release() { predictor_.reset(); }

 private:
  std::shared_ptr<const Model> model_;
  NewPredictor new_predictor_;
  std::unique_ptr<Predictor> predictor_;  // packed when first asked
  std::vector<int64_t> token_map_;
};

}  // namespace penjing::distill
