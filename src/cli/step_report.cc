#include "cli/step_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text_table.h"

namespace penjing::cli {

namespace {

std::string percent(const Share& share) {
  if (share.of == 0) return "";
  if (share.lost == 0) return "0";
  const double value = 100 * share.value();
  return value < 0.01 ? "<0.01" : fmt::format("{:.2f}", value);
}

std::string power(const std::optional<int>& exponent) {
  return exponent ? fmt::format("2^{}", *exponent) : "";
}

Json share_json(const Share& share) {
  return Json::object({{"lost", share.lost}, {"of", share.of}, {"share", share.value()}});
}
Json exponent_json(const std::optional<int>& exponent) {
  return exponent ? Json(std::ldexp(1.0, *exponent)) : Json();
}

Json layer_json(const LayerDiagnosis& l, const StepDiagnosis& diagnosis) {
  Json json = Json::object({{"layer", l.layer},
                            {"activation_overflow", share_json(l.activation_overflow)},
                            {"activation_underflow", share_json(l.activation_underflow)},
                            {"weight_overflow", share_json(l.weight_overflow)},
                            {"weight_underflow", share_json(l.weight_underflow)},
                            {"gradient_overflow", share_json(l.gradient_overflow)},
                            {"gradient_underflow", share_json(l.gradient_underflow)},
                            {"unscaled_gradient_overflow", share_json(l.unscaled_overflow)},
                            {"unscaled_gradient_underflow", share_json(l.unscaled_underflow)}});
  if (diagnosis.has_swamping) json.set("swamped_updates", share_json(l.swamped));
  if (diagnosis.has_loss_scale) {
    json.set("least_loss_scale", exponent_json(l.scale.least));
    json.set("largest_loss_scale", exponent_json(l.scale.largest));
  }
  return json;
}

std::string verdict(const StepDiagnosis& d) {
  const ScaleRange& scale = d.total.scale;
  if (!d.has_loss_scale) return "Every tensor has a scale of its own: no loss scale is needed.\n";
  if (!scale.least || !scale.largest) return "No gradient was recorded.\n";
  if (*scale.least > *scale.largest) {
    return fmt::format(
        "No loss scale suits all gradients: to keep {:.0f} % of each tensor's takes 2^{}, and beyond 2^{} "
        "the "
        "largest overflows.\n",
        100 * (1 - kLostGradients), *scale.least, *scale.largest);
  }
  if (*scale.least <= 0) {
    return fmt::format(
        "No loss scale is needed: without one, at least {:.0f} % of each tensor's gradients are "
        "kept. Up to 2^{} none overflows.\n",
        100 * (1 - kLostGradients), *scale.largest);
  }
  return fmt::format(
      "A loss scale of at least 2^{} keeps {:.0f} % of each tensor's gradients; up to 2^{} none "
      "overflows.\n",
      *scale.least, 100 * (1 - kLostGradients), *scale.largest);
}

// Overflows weigh most; else the share that is lost.
double harm(const RecordedTensor& t, const RangeLoss& lost) {
  const auto count = static_cast<double>(std::max<int64_t>(t.histogram.numbers(), 1));
  return static_cast<double>(lost.overflows) + static_cast<double>(lost.underflows) / count;
}

std::string worst_tensors(const RecordedStep& record, const StepDiagnosis& diagnosis, std::size_t count) {
  struct Row {
    const RecordedTensor* tensor;
    RangeLoss lost;
  };
  std::vector<Row> rows;
  for (const RecordedTensor& t : record.tensors) {
    if (t.role == NumberRole::kUpdate) continue;
    const RangeLoss lost = t.lost[recorded_index(format_of(diagnosis.format, t.role))];
    if (lost.overflows > 0 || lost.underflows > 0) rows.push_back({&t, lost});
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return harm(*a.tensor, a.lost) > harm(*b.tensor, b.lost);
  });
  rows.resize(std::min(rows.size(), count));
  if (rows.empty()) return "";
  TextTable table({"tensor", "numbers", "exponents", "overflow %", "underflow %"}, "llrrr");
  for (const Row& row : rows) {
    const ExponentHistogram& h = row.tensor->histogram;
    const int64_t numbers = h.numbers();
    table.add_row({row.tensor->name, name_of(row.tensor->role),
                   numbers > 0 ? fmt::format("{} to {}", h.lowest(), h.highest()) : "",
                   percent({row.lost.overflows, numbers}), percent({row.lost.underflows, numbers})});
  }
  return "\n" + table.str();
}

}  // namespace

std::string step_text(const RecordedStep& record, const StepDiagnosis& diagnosis, std::size_t tensors) {
  std::vector<std::string> header = {
      "layer",      "activations: overflow %", "underflow %", "weights: underflow %", "gradients: overflow %",
      "underflow %"};
  std::string alignment = "lrrrrr";
  if (diagnosis.has_loss_scale) {
    header.insert(header.end(), {"unscaled: underflow %", "least scale", "largest"});
    alignment += "rrr";
  }
  if (diagnosis.has_swamping) {
    header.emplace_back("updates: swamped %");
    alignment += "r";
  }
  TextTable table(header, alignment);
  const auto add = [&](const LayerDiagnosis& l) {
    std::vector<std::string> row = {l.layer,
                                    percent(l.activation_overflow),
                                    percent(l.activation_underflow),
                                    percent(l.weight_underflow),
                                    percent(l.gradient_overflow),
                                    percent(l.gradient_underflow)};
    if (diagnosis.has_loss_scale)
      row.insert(row.end(), {percent(l.unscaled_underflow), power(l.scale.least), power(l.scale.largest)});
    if (diagnosis.has_swamping) row.push_back(percent(l.swamped));
    table.add_row(row);
  };
  for (const LayerDiagnosis& layer : diagnosis.layers) add(layer);
  add(diagnosis.total);
  return fmt::format("step {} of a run in {}, loss scale {:g}: what {} would do\n\n", record.step,
                     record.precision, record.loss_scale, diagnosis.format) +
         table.str() + "\n" + verdict(diagnosis) + worst_tensors(record, diagnosis, tensors);
}

Json step_json(const RecordedStep& record, const StepDiagnosis& diagnosis) {
  Json layers = Json::array();
  for (const LayerDiagnosis& layer : diagnosis.layers) layers.push_back(layer_json(layer, diagnosis));
  return Json::object({{"step", record.step},
                       {"precision", record.precision},
                       {"loss_scale", record.loss_scale},
                       {"format", diagnosis.format},
                       {"layers", layers},
                       {"all", layer_json(diagnosis.total, diagnosis)}});
}

}  // namespace penjing::cli
