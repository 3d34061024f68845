#include "compress/linear_quantization.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "compress/smoothing.h"
#include "model/linear.h"

namespace penjing {

namespace {

std::vector<float> weight_of(const Model& model, const std::string& module) {
  return read_floats(model.tensors.at(module + ".weight"), module + ".weight");
}

// E[x_j^2], bounded below by what the mean and the extremes tell when there are no moments.
std::vector<float> mean_squares(const PreparedInputs& inputs, const std::string& leader, int64_t num_rows) {
  const std::vector<float>& moment = inputs.moments.at(leader);
  const auto width = static_cast<std::size_t>(std::llround(std::sqrt(static_cast<double>(moment.size()))));
  std::vector<float> squares(width);
  for (std::size_t j = 0; j < width; ++j) squares[j] = moment[j * width + j] / static_cast<float>(num_rows);
  return squares;
}

// True for a layer that reads what attention or the activation function has made: smoothing it gains nothing
// on MiniLM and costs BERT-base agreement (docs/methods/quantize.md).
bool reads_inside_block(const Description& description, const std::string& module) {
  for (const Block& block : description.blocks) {
    if (const auto* attention = std::get_if<AttentionSpec>(&block.part)) {
      if (attention->output.name == module) return true;
    } else if (const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part)) {
      if (feed_forward->down.name == module) return true;
    }
  }
  return false;
}

IntegerRange activation_codes(const LinearQuantization& how) {
  const int32_t levels = 1 << how.activation_bits;
  return how.symmetric ? IntegerRange{-(levels / 2 - 1), levels / 2 - 1} : IntegerRange{0, levels - 1};
}

}  // namespace

PreparedInputs prepare_inputs(const Model& model, const LinearQuantization& how,
                              const std::vector<std::string>& modules, const CalibrationRun& run,
                              const Calibration& known) {
  PreparedInputs inputs;
  if (!how.needs_texts()) return inputs;
  const auto wanted = [&](const std::string& name) {
    return std::find(modules.begin(), modules.end(), name) != modules.end();
  };
  std::vector<std::vector<std::string>> groups;
  CalibrationRequest request;
  for (const auto& group : linear_groups(model.description)) {
    std::vector<std::string> members;
    for (const LinearSpec& spec : group) {
      if (wanted(spec.name)) members.push_back(spec.name);
    }
    if (members.empty()) continue;
    for (const std::string& member : members) inputs.leader[member] = members.front();
    request.modules.push_back(members.front());
    groups.push_back(std::move(members));
  }
  const auto require_texts = [&](const char* what) {
    if (!run)
      fail(ErrorKind::kInput, "{} needs calibration texts; statistics of an earlier run are not enough",
           what);
  };
  if (!known.empty()) {
    for (const std::string& module : request.modules) {
      const auto found = known.find(module);
      if (found == known.end()) fail(ErrorKind::kInput, "the statistics have nothing of {}", module);
      inputs.statistics[module] = found->second;
    }
  } else {
    require_texts("this");
    request.histograms = how.static_range && !how.smooth && !how.activation_aware;
    inputs.statistics = collect_statistics(model, run, request);
  }
  if (how.activation_aware) {
    require_texts("activation-aware scaling");
    inputs.moments = collect_second_moments(model, run, request);
  }
  Progress progress("scaling", how.smooth || how.activation_aware ? static_cast<int64_t>(groups.size()) : 0,
                    "inputs");
  for (const auto& members : groups) {
    if (!how.smooth && !how.activation_aware) break;
    check_interrupt();
    progress.advance();
    if (how.smooth && !how.smooth_everywhere && reads_inside_block(model.description, members.front()))
      continue;
    const SiteStatistics& statistics = inputs.statistics.at(members.front());
    std::vector<std::vector<float>> values;
    std::vector<GroupWeight> weights;
    for (const std::string& member : members) {
      values.push_back(weight_of(model, member));
      weights.push_back({values.back(), model.tensors.at(member + ".weight").shape[0]});
    }
    const std::vector<float> factors =
        how.smooth ? smoothing_factors(statistics.channel_max_abs, weights, how.smooth_alpha)
                   : activation_aware_factors(mean_squares(inputs, members.front(), statistics.num_rows),
                                              weights, how.rounding);
    for (const std::string& member : members) inputs.smooth[member] = factors;
  }
  request.smooth = &inputs.smooth;
  if (how.static_range) {
    Calibration smoothed;
    if (!inputs.smooth.empty()) {
      require_texts("a static range after smoothing");
      request.histograms = true;
      smoothed = collect_statistics(model, run, request);
    }
    for (const auto& [module, leader] : inputs.leader) {
      const SiteStatistics& s = smoothed.empty() ? inputs.statistics.at(leader) : smoothed.at(leader);
      inputs.ranges[module] = choose_range(s, how.observer, how.symmetric, activation_codes(how));
    }
  }
  if (how.error_feedback) {
    require_texts("error feedback");
    inputs.moments = collect_second_moments(model, run, request);
  }
  return inputs;
}

void quantize_linear(Model& model, const LinearSpec& spec, const LinearQuantization& how,
                     const PreparedInputs& inputs) {
  const std::string& name = spec.name;
  const std::vector<float> original = weight_of(model, name);
  std::vector<float> weight = original;
  const auto smooth = inputs.smooth.find(name);
  if (smooth != inputs.smooth.end()) {
    for (std::size_t i = 0; i < weight.size(); ++i) weight[i] *= smooth->second[i % smooth->second.size()];
    model.tensors.set(name + ".smooth", Tensor::from_floats({spec.in}, smooth->second));
  }
  RoundingRule rule = how.rounding;
  if (rule.granularity == Granularity::kGroup && spec.in % rule.group_size != 0) {
    // The largest power of two below that divides; else one scale a row. The shape of the scales tells.
    while (rule.group_size > 16 && spec.in % rule.group_size != 0) rule.group_size /= 2;
    if (spec.in % rule.group_size != 0) rule.granularity = Granularity::kChannel;
  }
  const RoundedWeight rounded =
      how.error_feedback
          ? round_with_feedback(weight, spec.out, spec.in, rule, inputs.moments.at(inputs.leader.at(name)))
          : round_to_nearest(weight, spec.out, spec.in, rule);
  std::vector<std::byte> codes(rounded.codes.size());
  std::transform(rounded.codes.begin(), rounded.codes.end(), codes.begin(),
                 [](int8_t code) { return static_cast<std::byte>(code); });
  model.tensors.set(name + ".weight", Tensor::from_bytes(DType::kI8, {spec.out, spec.in}, std::move(codes)));
  model.tensors.set(name + ".weight_scale", Tensor::from_floats({spec.out, rounded.groups}, rounded.scales));

  if (how.bias_correction && spec.bias) {
    // b + (W - W^) E[x]: the mean error of the outputs on the calibration texts is taken away.
    std::vector<float> expanded = expand(rounded, spec.out, spec.in);
    const std::vector<float>& mean = inputs.statistics.at(inputs.leader.at(name)).channel_mean;
    std::vector<float> bias = read_floats(model.tensors.at(name + ".bias"), name + ".bias");
    for (int64_t row = 0; row < spec.out; ++row) {
      double shift = 0;
      for (int64_t c = 0; c < spec.in; ++c) {
        const auto at = static_cast<std::size_t>(row * spec.in + c), column = static_cast<std::size_t>(c);
        const double factor = smooth == inputs.smooth.end() ? 1 : smooth->second[column];
        shift += (double{original[at]} - expanded[at] / factor) * mean[column];
      }
      bias[static_cast<std::size_t>(row)] += static_cast<float>(shift);
    }
    model.tensors.set(name + ".bias", Tensor::from_floats({spec.out}, bias));
  }
  if (const auto range = inputs.ranges.find(name); range != inputs.ranges.end()) {
    const auto [low, high] = range->second;
    const IntegerRange codes_of_input = activation_codes(how);
    const QuantParams params = how.symmetric ? symmetric_params(std::max(-low, high), codes_of_input)
                                             : affine_params(low, high, codes_of_input);
    const float scale[] = {params.scale};
    model.tensors.set(name + ".input_scale", Tensor::from_floats({1}, scale));
    // Files hold signed codes, as other loaders have them: 0 stands for 128 (64).
    const int32_t zero = how.symmetric ? 0 : params.zero_point - (1 << (how.activation_bits - 1));
    model.tensors.set(
        name + ".input_zero_point",
        Tensor::from_bytes(DType::kI8, {1}, {static_cast<std::byte>(static_cast<int8_t>(zero))}));
  }
}

}  // namespace penjing
