#include "distill/distill_params.h"

#include "base/error.h"
#include "base/parse.h"

namespace penjing::distill {

namespace {

// "kd,pkd", ["kd", "pkd"] -> [{"loss": "kd"}, {"loss": "pkd", "balance": 1}]: a name says no weight.
Json as_plan(const Json& losses) {
  if (losses.is_string()) {
    Json names = Json::array();
    const std::string text = losses.as_string("losses");
    for (const std::string& name : split_at(text, ',')) {
      if (!name.empty()) names.push_back(name);
    }
    return as_plan(names);
  }
  Json plan = Json::array();
  bool first = true;
  for (const Json& loss : losses.as_array("losses")) {
    Json term = loss.is_string() ? Json::object({{"loss", loss}}) : loss;
    if (loss.is_string() && !first) term.set("balance", 1);
    plan.push_back(std::move(term));
    first = false;
  }
  return plan;
}

}  // namespace

DistillSettings DistillParams::settings() const {
  if (teacher.empty()) fail(ErrorKind::kInput, "distill: no teacher");
  DistillSettings settings;
  settings.training = training.settings();
  settings.teacher = teacher;
  if (!teacher_weights.empty()) {
    for (const std::string& weight : split_at(teacher_weights, ','))
      settings.teacher_weights.push_back(parse_number(weight, "teacher_weights"));
  }
  settings.gating = gating == "none"         ? Gating::kNone
                    : gating == "confidence" ? Gating::kConfidence
                                             : Gating::kEntropy;
  settings.label_weight = label_weight;
  settings.losses = as_plan(losses);
  settings.answers = answers == "exact"  ? KeptAnswers::kExact
                     : answers == "bf16" ? KeptAnswers::kBf16
                     : answers == "top"  ? KeptAnswers::kTop
                                         : KeptAnswers::kNone;
  settings.answers_gb = answers_gb;
  settings.answers_top = answers_top;
  return settings;
}

}  // namespace penjing::distill
