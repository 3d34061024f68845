#include "train/settings_digest.h"

#include <fmt/format.h>

namespace penjing::train {

Json digest_settings(const LoopSettings& s) {
  Json groups = Json::array();
  for (const ParameterGroup& group : s.rules.groups) {
    groups.push_back(Json::object({{"pattern", group.pattern},
                                   {"rate", group.rate},
                                   {"weight_decay", group.weight_decay},
                                   {"frozen", group.frozen}}));
  }
  return Json::object({{"epochs", s.epochs},
                       {"max_steps", s.max_steps},
                       {"batch_size", s.batches.batch_size},
                       {"batch_tokens", s.batches.batch_tokens},
                       {"micro_tokens", s.micro_tokens},
                       {"optimizer", s.optimizer.name},
                       {"beta1", s.optimizer.beta1},
                       {"beta2", s.optimizer.beta2},
                       {"epsilon", s.optimizer.epsilon},
                       {"momentum", s.optimizer.momentum},
                       {"weight_decay", s.rules.weight_decay},
                       {"layer_decay", s.rules.layer_decay},
                       {"freeze_encoder", s.rules.freeze_encoder},
                       {"groups", groups},
                       {"learning_rate", s.learning_rate},
                       {"schedule", static_cast<int64_t>(s.schedule)},
                       {"warmup", s.warmup},
                       {"clip_norm", s.clip_norm},
                       {"average", s.average},
                       {"precision", s.precision},
                       {"loss_scaling", s.loss_scaling},
                       {"hidden_dropout", s.hidden_dropout},
                       {"attention_dropout", s.attention_dropout},
                       {"classifier_dropout", s.classifier_dropout},
                       {"seed", s.seed},
                       {"origin", s.origin},
                       {"eval_steps", s.eval_steps},
                       {"metric", s.metric},
                       {"patience", s.patience},
                       {"keep_best", s.keep_best}});
}

std::string describe_differences(const Json& before, const Json& now) {
  std::string text;
  const auto shown = [](const Json* value) { return value == nullptr ? std::string("none") : value->dump(); };
  for (const auto& [name, value] : now.as_object("settings")) {
    const Json* old = before.find(name);
    if (old != nullptr && *old == value) continue;
    if (!text.empty()) text += "; ";
    text += old != nullptr && old->is_object() && value.is_object()
                ? describe_differences(*old, value)
                : fmt::format("{} {}, now {}", name, shown(old), value.dump());
  }
  return text;
}

}  // namespace penjing::train
