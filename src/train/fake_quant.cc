#include "train/fake_quant.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "compress/calibration.h"
#include "compress/exclusions.h"
#include "compress/method.h"
#include "compress/weight_rounding.h"

namespace penjing::train {

namespace {

constexpr float kMovingWeight = 0.01f;  // as calibration's (compress/calibration.cc)

IntegerRange weight_codes(int bits) {
  const int32_t largest = (1 << (bits - 1)) - 1;
  return {-largest, largest};
}
IntegerRange input_codes(int bits, bool symmetric) {
  const int32_t levels = 1 << bits;
  return symmetric ? IntegerRange{-(levels / 2 - 1), levels / 2 - 1} : IntegerRange{0, levels - 1};
}

QuantParams params_of(float low, float high, IntegerRange range, bool symmetric) {
  return symmetric ? symmetric_params(std::max(-low, high), range) : affine_params(low, high, range);
}

std::string name_of_scheme(const FakeQuantSettings& s) {
  return fmt::format("w{}a{}", s.weight_bits, s.activation_bits == 0 ? 16 : s.activation_bits);
}

}  // namespace

void set_scheme(FakeQuantSettings& settings, std::string_view scheme) {
  for (const auto& [weights, activations] : {std::pair(8, 8), {7, 8}, {7, 7}, {4, 8}, {8, 0}}) {
    settings.weight_bits = weights;
    settings.activation_bits = activations;
    if (scheme == name_of_scheme(settings)) return;
  }
  fail(ErrorKind::kInput, "scheme \"{}\"; quantization-aware training has w8a8, w7a8, w7a7, w4a8, w8a16",
       scheme);
}

LinearFakeQuantizer::LinearFakeQuantizer(const Description& description, Parameters& parameters,
                                         const FakeQuantSettings& settings)
    : parameters_(parameters),
      settings_(settings),
      weight_range_(weight_codes(settings.weight_bits)),
      input_range_(
          input_codes(settings.activation_bits == 0 ? 8 : settings.activation_bits, settings.symmetric)) {
  Exclusions exclusions("quantization-aware training", settings.exclude);
  for (const LinearSpec& spec : encoder_linears(description)) {
    if (exclusions.contain(spec.name)) continue;
    Layer layer;
    layer.spec = spec;
    if (settings.weight_learned) {
      layer.weight_scale = spec.name + ".weight_scale";
      // From the clipping with the least squared error, which is near the extremes for 8 bits.
      const at::Tensor w = parameters.at(spec.name + ".weight").detach().contiguous();
      RoundingRule rule;
      rule.range = weight_range_;
      rule.granularity = settings.weight_per_channel ? Granularity::kChannel : Granularity::kTensor;
      rule.search_scale = true;
      const RoundedWeight rounded = round_to_nearest(
          {w.data_ptr<float>(), static_cast<std::size_t>(w.numel())}, spec.out, spec.in, rule);
      at::Tensor scale = at::empty({settings.weight_per_channel ? spec.out : 1, 1}, at::kFloat);
      std::copy_n(rounded.scales.begin(), scale.numel(), scale.data_ptr<float>());
      parameters.add(layer.weight_scale, scale);
    }
    if (settings.activation_bits > 0 && settings.activations == ActivationRange::kLearned) {
      layer.input_scale = spec.name + ".input_scale";
      parameters.add(layer.input_scale, at::ones({1}, at::kFloat));
    }
    layers_.emplace(spec.name, std::move(layer));
  }
  const EmbeddingSpec& e = description.embedding;
  for (const std::string& name : {e.word, e.token_type, e.position.name}) {
    if (!name.empty() && !exclusions.contain(name)) tables_.insert(name);
  }
  exclusions.refuse_unused();
}

LinearFakeQuantizer::Layer* LinearFakeQuantizer::find(std::string_view module) {
  const auto found = layers_.find(module);
  return found == layers_.end() ? nullptr : &found->second;
}

void LinearFakeQuantizer::see(Layer& layer, const at::Tensor& x) {
  const bool learned = settings_.activations == ActivationRange::kLearned;
  if (layer.seen && (!training_ || learned)) return;
  const auto extremes = at::aminmax(x.detach());
  const float low = std::get<0>(extremes).item<float>(), high = std::get<1>(extremes).item<float>();
  if (!std::isfinite(low) || !std::isfinite(high)) return;  // the step is left out, the range stays
  const bool first = !layer.seen;
  layer.low = first ? low : layer.low + kMovingWeight * (low - layer.low);
  layer.high = first ? high : layer.high + kMovingWeight * (high - layer.high);
  layer.seen = true;
  if (!learned) return;
  const QuantParams params = params_of(low, high, input_range_, settings_.symmetric);
  layer.zero_point = params.zero_point;
  const at::NoGradGuard guard;
  at::Tensor scale = parameters_.at(layer.input_scale);
  scale.fill_(params.scale);
}

QuantParams LinearFakeQuantizer::input_params(const Layer& layer) const {
  if (!layer.seen)
    fail(ErrorKind::kInput, "{}: its input has no range yet: no step was trained", layer.spec.name);
  if (layer.input_scale.empty()) return params_of(layer.low, layer.high, input_range_, settings_.symmetric);
  const float scale = parameters_.at(layer.input_scale).item<float>();
  return {scale, 1 / scale, layer.zero_point};
}

at::Tensor LinearFakeQuantizer::input(std::string_view module, const at::Tensor& x) {
  Layer* layer = find(module);
  if (layer == nullptr || settings_.activation_bits == 0) return x;
  switch (settings_.activations) {
    case ActivationRange::kPerToken:
      if (!last_input_.defined() || !last_input_.is_same(x)) {
        last_input_ = x;
        last_result_ = fake_quantize_rows(x, input_range_, settings_.symmetric);
      }
      return last_result_;
    case ActivationRange::kMovingAverage:
      see(*layer, x);
      return fake_quantize_fixed(x, input_range_, input_params(*layer));
    case ActivationRange::kLearned: {
      see(*layer, x);
      if (!layer->seen) (void)input_params(*layer);  // says so
      // N: the features of the layer (section 2.2 of the paper), whatever the batch.
      const double bound = input_range_.max - layer->zero_point;
      return fake_quantize_learned(x, parameters_.at(layer->input_scale), input_range_, layer->zero_point,
                                   1 / std::sqrt(static_cast<double>(layer->spec.in) * std::max(bound, 1.0)),
                                   layer->input_scale);
    }
  }
  return x;
}

at::Tensor LinearFakeQuantizer::weight(std::string_view module, const at::Tensor& w) {
  const Layer* layer = find(module);
  if (layer == nullptr) return w;
  if (!layer->weight_scale.empty()) {
    const at::Tensor& scale = parameters_.at(layer->weight_scale);
    const auto values = static_cast<double>(w.numel() / scale.numel());
    return fake_quantize_learned(w, scale, weight_range_, 0, 1 / std::sqrt(values * weight_range_.max),
                                 layer->weight_scale);
  }
  return settings_.weight_per_channel ? fake_quantize_rows(w, weight_range_, true)
                                      : fake_quantize_tensor(w, weight_range_, true);
}

namespace {

// Of each row's extremes, [rows].
at::Tensor scales_of_rows(const at::Tensor& x, IntegerRange range, bool symmetric) {
  const at::Tensor low = x.amin(1).contiguous(), high = x.amax(1).contiguous();
  at::Tensor scales = at::empty({x.size(0)}, at::kFloat);
  for (int64_t r = 0; r < x.size(0); ++r) {
    scales.data_ptr<float>()[r] =
        params_of(low.data_ptr<float>()[r], high.data_ptr<float>()[r], range, symmetric).scale;
  }
  return scales;
}

}  // namespace

at::Tensor LinearFakeQuantizer::input_scales(const Layer& layer, const at::Tensor& x) const {
  if (settings_.activations == ActivationRange::kPerToken) {
    return scales_of_rows(x, input_range_, settings_.symmetric);
  }
  return at::full({1}, input_params(layer).scale);
}

at::Tensor LinearFakeQuantizer::weight_scales(const Layer& layer, const at::Tensor& w) const {
  if (!layer.weight_scale.empty()) return parameters_.at(layer.weight_scale).detach().view({-1});
  if (settings_.weight_per_channel) return scales_of_rows(w, weight_range_, true);
  return scales_of_rows(w.view({1, -1}), weight_range_, true);
}

at::Tensor LinearFakeQuantizer::product(std::string_view module, const at::Tensor& x, const at::Tensor& w,
                                        const at::Tensor& bias) {
  const Layer* layer = find(module);
  if (layer == nullptr || !is_exact() || x.scalar_type() != at::kFloat) return {};
  const at::Tensor from = input_scales(*layer, x), to = weight_scales(*layer, w.detach());
  // scale * code / scale is within half a unit of the code.
  const at::Tensor x_codes = (input(module, x) / from.unsqueeze(1)).round();
  const at::Tensor w_codes = (weight(module, w).detach() / to.unsqueeze(1)).round();
  const at::Tensor y = at::linear(x_codes, w_codes) * (from.unsqueeze(1) * to.unsqueeze(0));
  return bias.defined() ? y + bias.detach() : y;
}

at::Tensor LinearFakeQuantizer::table(std::string_view name, const at::Tensor& w) {
  return tables_.contains(name) ? fake_quantize_rows(w, kInt8, true) : w;
}

bool LinearFakeQuantizer::is_exact() const {
  return !training_ && settings_.activation_bits > 0 && !at::GradMode::is_enabled();
}

bool LinearFakeQuantizer::attention_in_integers(const AttentionSpec& spec) {
  return settings_.activation_bits > 0 && find(spec.query.name) != nullptr &&
         find(spec.key.name) != nullptr && find(spec.value.name) != nullptr;
}

Json LinearFakeQuantizer::state() const {
  Json ranges = Json::object();
  for (const auto& [name, layer] : layers_) {
    if (layer.seen) {
      ranges.set(name, Json::object({{"low", layer.low},
                                     {"high", layer.high},
                                     {"zero_point", static_cast<int64_t>(layer.zero_point)}}));
    }
  }
  return Json::object({{"ranges", ranges}});
}

void LinearFakeQuantizer::restore(const Json& state) {
  const Json* ranges = state.find("ranges");
  if (ranges == nullptr) fail(ErrorKind::kFormat, "quantizer: no \"ranges\"");
  for (auto& [name, layer] : layers_) layer.seen = false;
  for (const auto& [name, range] : ranges->as_object("quantizer: ranges")) {
    Layer* layer = find(name);
    if (layer == nullptr) fail(ErrorKind::kFormat, "quantizer: a range of {}, which is not quantized", name);
    const auto number = [&](const char* key) {
      const Json* value = range.find(key);
      if (value == nullptr) fail(ErrorKind::kFormat, "quantizer: {} has no \"{}\"", name, key);
      return value->as_double("quantizer: " + name);
    };
    layer->seen = true;
    layer->low = static_cast<float>(number("low"));
    layer->high = static_cast<float>(number("high"));
    layer->zero_point = static_cast<int32_t>(number("zero_point"));
  }
}

QuantParams LinearFakeQuantizer::weight_params(const Layer& layer, int64_t row) const {
  const at::Tensor& scales = parameters_.at(layer.weight_scale);
  const float scale = scales.data_ptr<float>()[scales.numel() == 1 ? 0 : row];
  if (!(std::isnormal(scale) && scale > 0 && std::isnormal(1 / scale)))
    fail(ErrorKind::kFormat, "{}: {}, wanted a scale above 0", layer.weight_scale, scale);
  return {scale, 1 / scale, 0};
}

void LinearFakeQuantizer::store_learned(const Model& trained, Model& model) const {
  for (const auto& [name, layer] : layers_) {
    const auto [out, in] = std::pair(layer.spec.out, layer.spec.in);
    if (!layer.weight_scale.empty()) {
      const std::vector<float> weight = read_floats(trained.tensors.at(name + ".weight"), name + ".weight");
      std::vector<std::byte> codes(static_cast<std::size_t>(out * in));
      std::vector<float> scales;
      for (int64_t row = 0; row < out; ++row) {
        const QuantParams params = weight_params(layer, row);
        scales.push_back(params.scale);
        for (int64_t i = row * in; i < (row + 1) * in; ++i) {
          const int32_t code = quantize_value(weight[static_cast<std::size_t>(i)], params, weight_range_);
          codes[static_cast<std::size_t>(i)] = static_cast<std::byte>(static_cast<int8_t>(code));
        }
      }
      model.tensors.set(name + ".weight", Tensor::from_bytes(DType::kI8, {out, in}, std::move(codes)));
      model.tensors.set(name + ".weight_scale", Tensor::from_floats({out, 1}, scales));
    }
    if (!layer.input_scale.empty()) {
      const QuantParams params = input_params(layer);
      const float scale[] = {params.scale};
      // Files hold signed codes: 0 stands for 128 (64).
      const int32_t zero =
          settings_.symmetric ? 0 : params.zero_point - (1 << (settings_.activation_bits - 1));
      model.tensors.set(name + ".input_scale", Tensor::from_floats({1}, scale));
      model.tensors.set(
          name + ".input_zero_point",
          Tensor::from_bytes(DType::kI8, {1}, {static_cast<std::byte>(static_cast<int8_t>(zero))}));
    }
  }
}

Model LinearFakeQuantizer::quantized(const Model& trained) const {
  Model plain = trained;
  for (const auto& [name, layer] : layers_) {
    for (const std::string& scale : {layer.weight_scale, layer.input_scale}) {
      if (!scale.empty()) (void)plain.tensors.erase(scale);
    }
  }
  const bool is_static = settings_.activation_bits > 0 && settings_.activations != ActivationRange::kPerToken;
  Json all = Json::object({{"embeddings", "int8"}});
  all.set("scheme", name_of_scheme(settings_));
  all.set("activations", settings_.symmetric ? "symmetric" : "affine");
  all.set("range", is_static ? "static" : "dynamic");
  all.set("observer", "moving_average");
  all.set("granularity", settings_.weight_per_channel ? "channel" : "tensor");
  Json excluded = Json::array();
  for (const std::string& pattern : settings_.exclude) excluded.push_back(pattern);
  all.set("exclude", excluded);
  Calibration ranges;
  if (is_static) {
    for (const auto& [name, layer] : layers_) {
      (void)input_params(layer);  // there is a range
      SiteStatistics& statistics = ranges[name];
      statistics.low = statistics.moving_low = layer.low;
      statistics.high = statistics.moving_high = layer.high;
    }
  }
  const Method* method = find_method("quantize");
  if (method == nullptr) fail(ErrorKind::kInternal, "no method quantize");
  MethodContext context;
  context.known_statistics = is_static ? &ranges : nullptr;
  MethodReport report;
  Model result = method->apply(plain, resolve_params(*method, all), context, report);
  store_learned(trained, result);
  return result;
}

}  // namespace penjing::train
