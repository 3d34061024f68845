// quantize: post-training quantization.
//
//   w8a8, w7a8, w7a7, w4a8   integer weights (symmetric; +-127, +-63, +-7), activations of 8 or 7 bits:
//   affine codes
//            with a zero point a token, found while running, or one range found beforehand (static)
//   w8a16, w4a16             integer weights alone; arithmetic in FP32
//   bf16, fp16               every float tensor rounded to nearest-even
//
// s_o = max|W_o| / q_max, q = clamp(round(W / s_o), +-q_max), by row, by group of columns (w4a16) or for the
// whole. Jacob et al. 2018 (affine map); Krishnamoorthi 2018 (rows); Yao et al. 2022, ZeroQuant (tokens);
// Xiao et al. 2022, SmoothQuant; Frantar et al. 2022, GPTQ; Lin et al. 2023, AWQ; Migacz 2017 (entropy).
// Needs texts only where a range, smoothing, a correction or error feedback is asked for. Leaves alone:
// LayerNorm, biases (but for bias_correction), task heads and pooler (small, and other loaders expect them
// so). Embedding tables: INT8 with one scale a row unless
// --embeddings says otherwise.
#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "compress/cast.h"
#include "compress/exclusions.h"
#include "compress/linear_quantization.h"
#include "compress/params.h"
#include "compress/sensitivity.h"
#include "model/exits.h"
#include "model/linear.h"

namespace penjing {

namespace {

struct Params {
  std::string scheme = "w8a8", activations = "affine", range = "dynamic", observer = "minmax",
              smooth_inputs = "norm";
  std::string attention = "auto";
  std::string granularity = "channel", weights = "minmax", embeddings = "int8";
  int64_t group_size = 32, keep = 0;
  double smooth_alpha = 0.5;
  bool smooth = false, awq = false, error_feedback = false, bias_correction = false;
  std::vector<std::string> exclude;

  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("scheme", scheme, {"w8a8", "w7a8", "w7a7", "w4a8", "w8a16", "w4a16", "bf16", "fp16"},
             "number formats of weights and activations");
    v.choice("activations", activations, {"affine", "symmetric"},
             "with a zero point (more accurate) or around zero");
    v.choice("range", range, {"dynamic", "static"},
             "of activations: of each token, found while running, or one a layer, from calibration texts");
    v.choice("observer", observer, observer_names(), "static: how the range follows from the texts");
    v.choice("granularity", granularity, {"channel", "tensor"},
             "scales of weights: one a row, or one a matrix (for comparison)");
    v.integer("group_size", group_size, 0, 1024, "w4a16: columns that share a scale; 0 = the whole row");
    v.choice("weights", weights, {"minmax", "mse"},
             "scale of weights: the extremes, or the least squared error");
    v.flag("smooth", smooth,
           "move the outliers of activations into the weights (SmoothQuant, inside the layer)");
    v.choice("smooth_inputs", smooth_inputs, {"norm", "all"},
             "smooth: the inputs that a LayerNorm has made, or those of every layer");
    v.number("smooth_alpha", smooth_alpha, 0, 1, "smooth: how much of them");
    v.flag("awq", awq, "weight-only: scale columns by how large their inputs are");
    v.flag("error_feedback", error_feedback, "carry each column's rounding error to the next ones (GPTQ)");
    v.flag("bias_correction", bias_correction, "take the mean error of each output into its bias");
    v.integer("keep", keep, 0, 10000,
              "leave the k layers in float that harm the output most, by measurement");
    v.choice("attention", attention, {"auto", "int8", "fp32"},
             "products of queries, keys and values: auto = int8 where those are integer products");
    v.choice("embeddings", embeddings, {"int8", "fp16", "fp32"},
             "embedding tables: int8 is smallest; a folder with fp16 or fp32 tables also loads in "
             "transformers with "
             "compressed-tensors");
    v.list("exclude", exclude, "module names to leave as they are; * and ? allowed; repeatable");
  }

  bool casts() const { return scheme == "bf16" || scheme == "fp16"; }
  int weight_bits() const { return scheme[1] - '0'; }
  int activation_bits() const { return scheme.ends_with("a16") ? 0 : scheme[3] - '0'; }
  bool packs() const { return activation_bits() == 0 || weight_bits() == 4; }
};

LinearQuantization quantization_of(const Params& params) {
  LinearQuantization how;
  const int32_t largest = (1 << (params.weight_bits() - 1)) - 1;
  how.rounding.range = {-largest, largest};
  how.rounding.search_scale = params.weights == "mse";
  if (params.granularity == "tensor") how.rounding.granularity = Granularity::kTensor;
  if (params.scheme == "w4a16" && params.group_size > 0 && params.granularity == "channel") {
    how.rounding.granularity = Granularity::kGroup;
    how.rounding.group_size = params.group_size;
  }
  how.error_feedback = params.error_feedback;
  how.activation_aware = params.awq;
  how.smooth = params.smooth;
  how.smooth_everywhere = params.smooth_inputs == "all";
  how.smooth_alpha = params.smooth_alpha;
  how.bias_correction = params.bias_correction;
  how.activation_bits = params.activation_bits();
  how.symmetric = params.activations == "symmetric";
  how.static_range = params.range == "static";
  how.observer = parse_observer(params.observer);
  const auto refuse = [](bool wrong, const char* why) {
    if (wrong) fail(ErrorKind::kInput, "quantize: {}", why);
  };
  refuse(how.static_range && how.activation_bits == 0,
         "range static: the scheme leaves activations in float");
  refuse(params.attention == "int8" && how.activation_bits == 0,
         "attention int8: the scheme leaves activations in float");
  refuse(how.smooth && how.activation_aware, "smooth and awq scale the same columns: choose one");
  refuse(how.error_feedback && params.granularity == "tensor", "error_feedback needs granularity channel");
  return how;
}

bool is_float(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 || type == DType::kF64;
}

// Replaces NAME.weight by codes and adds NAME.weight_scale [rows, 1].
void quantize_table(Model& model, const std::string& name) {
  const Tensor table = model.tensors.at(name + ".weight");
  const std::vector<float> values = read_floats(table, name + ".weight");
  const RoundedWeight rounded = round_to_nearest(values, table.shape[0], table.shape[1], {});
  std::vector<std::byte> codes(rounded.codes.size());
  std::transform(rounded.codes.begin(), rounded.codes.end(), codes.begin(),
                 [](int8_t code) { return static_cast<std::byte>(code); });
  model.tensors.set(name + ".weight", Tensor::from_bytes(DType::kI8, table.shape, std::move(codes)));
  model.tensors.set(name + ".weight_scale", Tensor::from_floats({table.shape[0], 1}, rounded.scales));
}

Json weights_entry(int bits, int64_t group_size) {
  return Json::object({{"num_bits", bits},
                       {"type", "int"},
                       {"symmetric", true},
                       {"strategy", group_size > 0 ? "group" : "channel"},
                       {"group_size", group_size > 0 ? Json(group_size) : Json()},
                       {"dynamic", false},
                       {"actorder", nullptr},
                       {"observer", "minmax"},
                       {"observer_kwargs", Json::object()}});
}

Json target_list(const char* target) {
  Json list = Json::array();
  list.push_back(target);
  return list;
}

// quantization_config in the compressed-tensors form (conventions of vLLM's library of that name). Smoothing
// is not known there, so a smoothed model says quant_method "penjing": others refuse it instead of computing
// something else.
Json quantization_config(const Params& params, const LinearQuantization& how,
                         const std::vector<std::string>& ignored) {
  Json activations = nullptr;
  if (how.activation_bits > 0) {
    activations = Json::object({{"num_bits", how.activation_bits},
                                {"type", "int"},
                                {"symmetric", how.symmetric},
                                {"strategy", how.static_range ? "tensor" : "token"},
                                {"dynamic", !how.static_range}});
  }
  const int64_t group_size = how.rounding.granularity == Granularity::kGroup ? how.rounding.group_size : 0;
  Json groups = Json::object();
  groups.set("group_0", Json::object({{"targets", target_list("Linear")},
                                      {"weights", weights_entry(params.weight_bits(), group_size)},
                                      {"input_activations", activations},
                                      {"output_activations", nullptr}}));
  if (params.embeddings == "int8") {
    groups.set("group_1", Json::object({{"targets", target_list("Embedding")},
                                        {"weights", weights_entry(8, 0)},
                                        {"input_activations", nullptr},
                                        {"output_activations", nullptr}}));
  }
  Json ignore = Json::array();
  for (const auto& name : ignored) ignore.push_back(name);
  return Json::object(
      {{"quant_method", how.smooth || how.activation_aware ? "penjing" : "compressed-tensors"},
       {"format", params.packs() ? "pack-quantized" : "int-quantized"},
       {"quantization_status", "compressed"},
       {"global_compression_ratio", nullptr},
       {"ignore", ignore},
       {"kv_cache_scheme", nullptr},
       {"config_groups", groups}});
}

// The k modules whose quantization alone harms the output most; all are told in the report.
std::vector<std::string> most_harmful(const Model& model, const std::vector<LinearSpec>& linears,
                                      const Params& params, const LinearQuantization& how,
                                      const PreparedInputs& inputs, const CalibrationRun& run,
                                      MethodReport& report) {
  std::vector<std::string> names;
  for (const LinearSpec& spec : linears) names.push_back(spec.name);
  const auto harm = measure_sensitivity(model, names, run, [&](Model& copy, const std::string& name) {
    copy.config.set("quantization_config", quantization_config(params, how, {}));
    for (const LinearSpec& spec : linears) {
      if (spec.name == name) quantize_linear(copy, spec, how, inputs);
    }
  });
  Json list = Json::array();
  std::vector<std::string> kept;
  for (const auto& [name, error] : harm) {
    list.push_back(Json::object({{"module", name}, {"relative_error", error}}));
    if (static_cast<int64_t>(kept.size()) < params.keep) kept.push_back(name);
  }
  report.details.set("sensitivity", list);
  return kept;
}

void quantize_model(Model& model, const Params& params, MethodContext& context, MethodReport& report) {
  const LinearQuantization how = quantization_of(params);
  std::vector<std::string> ignored, modules;
  std::vector<LinearSpec> linears;
  Exclusions exclusions("quantize", params.exclude);
  for (const LinearSpec& spec : encoder_linears(model.description)) {
    const Tensor* weight = model.tensors.find(spec.name + ".weight");
    if (exclusions.contain(spec.name) || weight == nullptr || !is_float(weight->type)) {
      ignored.push_back(spec.name);
    } else {
      linears.push_back(spec);
      modules.push_back(spec.name);
    }
  }
  Calibration known;
  if (how.needs_texts() && context.known_statistics != nullptr) {
    known = *context.known_statistics;
  } else if (how.needs_texts() && !context.statistics.empty()) {
    known = read_statistics(context.statistics);
  }
  if ((how.needs_texts() && known.empty()) || params.keep > 0) {
    if (!context.run_calibration) fail(ErrorKind::kInput, "quantize: this needs calibration texts");
    report.details.set("calibration", context.calibration_source);
    if (context.note) context.note("calibration: " + context.calibration_source);
  }
  const PreparedInputs inputs = prepare_inputs(model, how, modules, context.run_calibration, known);
  if (params.keep > 0) {
    const auto kept = most_harmful(model, linears, params, how, inputs, context.run_calibration, report);
    std::erase_if(linears, [&](const LinearSpec& spec) {
      return std::find(kept.begin(), kept.end(), spec.name) != kept.end();
    });
    ignored.insert(ignored.end(), kept.begin(), kept.end());
  }
  {
    Progress progress("quantize", static_cast<int64_t>(linears.size()), "layers");
    for (const LinearSpec& spec : linears) {
      check_interrupt();
      quantize_linear(model, spec, how, inputs);
      progress.advance();
    }
  }

  const EmbeddingSpec& e = model.description.embedding;
  for (const std::string& name : {e.word, e.token_type, e.position.name}) {
    const Tensor* table = name.empty() ? nullptr : model.tensors.find(name + ".weight");
    if (table == nullptr || table->shape.size() != 2) continue;
    if (exclusions.contain(name)) continue;
    if (params.embeddings == "int8") {
      quantize_table(model, name);
    } else if (params.embeddings == "fp16") {
      model.tensors.set(name + ".weight", cast(*table, DType::kF16, name + ".weight"));
    }
  }
  const auto stays = [&](const HeadSpec& head) {
    if (head.input == HeadInput::kAttended)
      ignored.insert(ignored.end(), {head.attention.name, head.attention_score.name});
    if (head.has_dense) ignored.push_back(head.dense.name);
    if (head.has_projection) ignored.push_back(head.projection.name);
  };
  for (const HeadSpec& head : model.description.heads) stays(head);
  for (const ExitSpec& exit : read_exits(model)) stays(exit.head);
  for (const std::string& name : ignored) (void)exclusions.contain(name);  // a head stays in float anyway
  exclusions.refuse_unused();
  std::sort(ignored.begin(), ignored.end());
  ignored.erase(std::unique(ignored.begin(), ignored.end()), ignored.end());
  Json note = Json::array();
  for (const auto& name : ignored) note.push_back(name);
  report.details.set("quantized_linear_layers", static_cast<int64_t>(linears.size()));
  report.details.set("kept_in_float", note);
  const bool integer_attention = how.activation_bits > 0 && params.attention != "fp32";
  if (integer_attention) use_integer_attention(model);
  report.details.set("attention", integer_attention ? "int8" : "fp32");
  const StoredNames stored_name(model);
  std::transform(ignored.begin(), ignored.end(), ignored.begin(), stored_name);
  model.config.set("quantization_config", quantization_config(params, how, ignored));
  if (how.smooth || how.activation_aware) {
    report.notes.push_back("smoothed: read by Penjing alone; other loaders refuse it by its quant_method");
  } else {
    report.notes.push_back(
        params.embeddings == "int8"
            ? "embeddings are int8: read by Penjing; for a folder that transformers loads too, use "
              "--embeddings fp16"
            : "loads in transformers with compressed-tensors too");
  }
}

void cast_model(Model& model, const Params& params, MethodReport& report) {
  const DType type = params.scheme == "bf16" ? DType::kBF16 : DType::kF16;
  TensorMap cast_tensors;
  Exclusions exclusions("quantize", params.exclude);
  int64_t count = 0;
  for (const auto& [name, tensor] : model.tensors) {
    const std::string module = name.substr(0, name.rfind('.'));
    const bool excluded = exclusions.contain(module);
    const bool change = is_float(tensor.type) && !excluded;
    cast_tensors.set(name, change ? cast(tensor, type, name) : tensor);
    count += change ? 1 : 0;
  }
  exclusions.refuse_unused();
  model.tensors = std::move(cast_tensors);
  const char* name = type == DType::kBF16 ? "bfloat16" : "float16";
  model.config.set(model.config.contains("dtype") ? "dtype" : "torch_dtype", name);
  report.details.set("cast_tensors", count);
}

Model apply(const Model& input, const Json& resolved, MethodContext& context, MethodReport& report) {
  const auto params = read_params<Params>(resolved);
  if (input.config.contains("quantization_config") && !input.config.find("quantization_config")->is_null()) {
    fail(ErrorKind::kInput,
         "quantize: the model is quantized already; start from the original, or run dequantize first");
  }
  check_model(input, true);
  Model model = input;
  if (params.casts()) {
    if (params.attention == "int8")
      fail(ErrorKind::kInput, "quantize: attention int8: the scheme has no integers");
    cast_model(model, params, report);
  } else {
    quantize_model(model, params, context, report);
  }
  check_model(model, false);
  return model;
}

}  // namespace

extern const Method quantize_integer_method;
const Method quantize_integer_method = {
    "quantize",
    "quantize",
    "INT8, INT4, BF16 or FP16 weights, with or without calibration texts",
    "Rounds weights to fewer bits. w8a8 stores real int8 weights (one scale a row) and runs integer products "
    "with "
    "per-token uint8 activations found on the fly: no texts needed, and a row's result never depends on its "
    "batch. "
    "--smooth makes it more accurate, from calibration texts. w7a7 is the form that CPUs without VNNI run "
    "fast and "
    "exactly. w4a16 is smallest. Heads, pooler, LayerNorm and biases stay in float.\n\n"
    "Examples:\n  penjing quantize minilm --scheme w8a8 --out minilm-int8\n"
    "  penjing quantize minilm --scheme w8a8 --smooth --calibration texts.txt --out minilm-int8-smooth\n"
    "  penjing quantize minilm --scheme w4a16 --error-feedback --out minilm-int4\n"
    "  penjing quantize minilm --scheme w8a8 --embeddings fp16 --out minilm-int8-portable\n"
    "  penjing quantize minilm --scheme w8a8 --exclude 'encoder.layer.0.*' --out out",
    Needs::kCalibrationText,
    list_params<Params>,
    apply};

}  // namespace penjing
