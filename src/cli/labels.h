#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/model.h"

namespace penjing::cli {

struct ScoredLabel {
  int64_t index = 0;
  std::string label;
  double score = 0;
};

// Label of class `index`: id2label's, else "LABEL_<index>".
std::string label_of(const Model& model, int64_t index);

// Classes by falling score. Scores as Hugging Face's pipelines give them: softmax over several classes; the
// sigmoid for one class or problem_type multi_label_classification; the value itself for regression and with
// `raw`.
std::vector<ScoredLabel> score_labels(const Model& model, std::span<const float> logits, bool raw);

}  // namespace penjing::cli
