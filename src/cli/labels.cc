#include "cli/labels.h"

#include <algorithm>
#include <cmath>

#include "model/architectures.h"

namespace penjing::cli {

std::string label_of(const Model& model, int64_t index) {
  if (index < static_cast<int64_t>(model.id2label.size()))
    return model.id2label[static_cast<std::size_t>(index)];
  return "LABEL_" + std::to_string(index);
}

std::vector<ScoredLabel> score_labels(const Model& model, std::span<const float> logits, bool raw) {
  const std::string type = config_string_or(model.config, "problem_type", "");
  const bool sigmoid = logits.size() == 1 || is_multi_label(model.config);
  const double highest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float x : logits) total += std::exp(x - highest);
  std::vector<ScoredLabel> labels;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    double score = logits[i];
    if (!raw && type != "regression")
      score = sigmoid ? 1 / (1 + std::exp(-score)) : std::exp(score - highest) / total;
    labels.push_back({static_cast<int64_t>(i), label_of(model, static_cast<int64_t>(i)), score});
  }
  std::stable_sort(labels.begin(), labels.end(),
                   [](const ScoredLabel& a, const ScoredLabel& b) { return a.score > b.score; });
  return labels;
}

}  // namespace penjing::cli
