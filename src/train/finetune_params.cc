#include "train/finetune_params.h"

#include "base/error.h"
#include "base/parse.h"

namespace penjing::train {

namespace {

// NAME=VALUE, the value as JSON where it is JSON, else as text.
void set_param(Json& params, const std::string& text) {
  const std::size_t at = text.find('=');
  if (at == std::string::npos || at == 0) fail(ErrorKind::kInput, "param {}: wanted NAME=VALUE", text);
  const std::string value = text.substr(at + 1);
  try {
    params.set(text.substr(0, at), Json::parse(value, "param"));
  } catch (const Error&) {
    params.set(text.substr(0, at), value);
  }
}

Json parse_class_weights(const std::string& text) {
  if (text == "balanced") return text;
  Json weights = Json::array();
  for (const std::string& part : split_at(text, ',')) weights.push_back(parse_number(part, "class weights"));
  return weights;
}

}  // namespace

FinetuneSettings FinetuneParams::settings() const {
  if (task.empty()) fail(ErrorKind::kInput, "finetune: no task; there are: {}", objective_names());
  if (data.empty()) fail(ErrorKind::kInput, "finetune: no data");
  FinetuneSettings settings;
  settings.task = task;
  settings.data.data = data;
  settings.data.columns = {text_column, pair_column, label_column};
  settings.data.limit = static_cast<std::size_t>(limit);
  settings.train_split = train_split;
  settings.eval_split = no_eval ? "" : eval_split;
  settings.max_length = max_length;
  settings.loop = training.settings();
  if (label_smoothing != 0) settings.params.set("label_smoothing", label_smoothing);
  if (!loss.empty()) settings.params.set("loss", loss);
  for (const std::string& param : params) set_param(settings.params, param);
  if (!class_weights.empty()) settings.params.set("class_weights", parse_class_weights(class_weights));
  if (!scheme.empty()) {
    FakeQuantSettings& fake_quant = settings.fake_quant.emplace();
    set_scheme(fake_quant, scheme);
    fake_quant.weight_learned = learned_weight_scales;
    fake_quant.activations = activation_range == "token"     ? ActivationRange::kPerToken
                             : activation_range == "average" ? ActivationRange::kMovingAverage
                                                             : ActivationRange::kLearned;
  }
  return settings;
}

}  // namespace penjing::train
