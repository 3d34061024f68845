#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "distill/answers.h"
#include "distill/distill.h"
#include "distill/outputs_tap.h"
#include "model/model.h"
#include "predict/predictor.h"
#include "train/objective.h"

namespace penjing::distill {

// A teacher with quantized weights that is asked in the inference runtime, whose products are those of its
// integers: it says what it says where it is used, and says it sooner than the trainer, which would multiply
// the numbers that the integers stand for.
class RuntimeTeacher {
 public:
  // What the runtime has to give for `parts`: class logits or sentence embeddings. Nothing: the weights are
  // not quantized, or something else is wanted too.
  static std::optional<OutputKind> output_of(const Model& teacher, std::span<const AnswerPart> parts);

  RuntimeTeacher(std::shared_ptr<const Model> model, OutputKind kind, NewPredictor new_predictor);

  // As Teacher::read_tokens().
  void read_tokens(std::vector<int64_t> map) { token_map_ = std::move(map); }
  // Of all sequences of the examples, on the CPU. A sequence's row does not depend on the others.
  Outputs run(const train::Objective& task, std::span<const int64_t> examples);
  // Of its memory, until it is asked again.
  void release() { predictor_.reset(); }

 private:
  std::shared_ptr<const Model> model_;
  OutputKind kind_;
  NewPredictor new_predictor_;
  std::unique_ptr<Predictor> predictor_;  // packed when first asked
  std::vector<int64_t> token_map_;
};

}  // namespace penjing::distill
