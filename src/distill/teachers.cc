#include "distill/teachers.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace penjing::distill {

at::Tensor teacher_shares(const std::vector<at::Tensor>& logits, std::span<const double> weights,
                          Gating gating, const at::Tensor& labels) {
  std::vector<at::Tensor> gates;  // logarithms
  for (std::size_t k = 0; k < logits.size(); ++k) {
    const double weight = std::log(weights[k]);
    if (gating == Gating::kNone) {
      gates.push_back(at::full({logits[k].size(0)}, weight, logits[k].options().dtype(at::kFloat)));
      continue;
    }
    const at::Tensor log_p = at::log_softmax(logits[k].to(at::kFloat), -1);
    gates.push_back(weight + (gating == Gating::kConfidence
                                  ? log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
                                  : (log_p.exp() * log_p).nan_to_num(0.0).sum(-1)));  // 0 log 0 = 0
  }
  return at::softmax(at::stack(gates), 0);
}

Teachers::Teachers(std::vector<Teacher> teachers, const std::vector<double>& weights, Gating gating)
    : teachers_(std::move(teachers)), weights_(weights), gating_(gating) {
  if (weights_.empty()) weights_.assign(teachers_.size(), 1);
  const bool positive =
      std::all_of(weights_.begin(), weights_.end(), [](double w) { return w > 0 && std::isfinite(w); });
  if (weights_.size() != teachers_.size() || !positive) {
    fail(ErrorKind::kInput, "teacher_weights: {} numbers for {} teachers; wanted one each, above 0",
         weights_.size(), teachers_.size());
  }
}

Json Teachers::origin() const {
  if (size() == 1) return teachers_.front().digest();
  Json list = Json::array();
  for (std::size_t k = 0; k < size(); ++k) {
    list.push_back(Json::object({{"digest", teachers_[k].digest()}, {"weight", weights_[k]}}));
  }
  return Json::object({{"teachers", list}, {"gating", static_cast<int>(gating_)}});
}

Outputs Teachers::run(const train::Objective& task, const OutputNeeds& needs,
                      const train::ForwardContext& context, std::span<const int64_t> examples,
                      int64_t epoch) {
  if (size() == 1) return teachers_.front().run(task, needs, context, examples, epoch);
  std::vector<at::Tensor> logits, embeddings;
  for (Teacher& teacher : teachers_) {
    const Outputs outputs = teacher.run(task, needs, context, examples, epoch);
    if (outputs.logits.defined()) logits.push_back(outputs.logits.to(at::kFloat));
    if (outputs.embeddings.defined()) embeddings.push_back(outputs.embeddings.to(at::kFloat));
  }
  at::Tensor labels;
  if (gating_ == Gating::kConfidence) {
    std::vector<int64_t> classes;
    for (const int64_t i : examples) classes.push_back(task.class_of(i));
    if (std::find(classes.begin(), classes.end(), -1) != classes.end()) {
      fail(ErrorKind::kInput, "gating confidence: an example has no class");
    }
    labels = at::tensor(classes, at::kLong).to((logits.empty() ? embeddings : logits).front().device());
  }
  const at::Tensor shares = teacher_shares(logits.empty() ? embeddings : logits, weights_, gating_, labels);
  const auto mean = [&](const std::vector<at::Tensor>& rows) {
    return rows.empty() ? at::Tensor() : (shares.unsqueeze(-1) * at::stack(rows)).sum(0);
  };
  Outputs outputs;
  outputs.logits = mean(logits);
  outputs.embeddings = mean(embeddings);
  return outputs;
}

}  // namespace penjing::distill
