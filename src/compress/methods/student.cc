// student: a smaller model carved from a teacher, without training: a start for distillation that knows what
// the teacher knows as far as its size allows.
//
//   layers        some of the teacher's, as DistilBERT (Sanh et al. 2019), PKD (Sun et al. 2019) and Poor
//                 Man's BERT (Sajjad et al. 2020) choose them (compress/layer_choice.h)
//   heads         of each layer the most important ones; likewise the inner features of the feed-forward
//   intermediate  (compress/part_choice.h)
//   hidden        the width, projected on the directions in which the hidden states of texts vary most
//                 (compress/width_projection.h)
//   embedding_width  narrower word embeddings, projected to the hidden states' width: the result is an
//   ELECTRA
//                 (compress/factorized_embedding.h)
//
// in this order, each on what the one before left, so that what counts is measured on the student as it will
// be. Needs texts for importance activation and for hidden. Task heads, pooler, tokenizer and
// Sentence-Transformers modules come along. Layers, heads and inner features keep the teacher's bytes.
// init random keeps the sizes alone and draws every weight anew (model/new_model.h), for comparison.
//
// `config` instead builds another model beside the teacher: config.json with these keys changed says what it
// is, its layers are fresh, and embeddings and heads are the teacher's where name and shape are the same
// (MobileBERT, Sun et al. 2020, shares them with its teacher of inverted bottlenecks).
// Deviation from PKD, whose students take the teacher's first layers and only learn from the skipped ones:
// here `from` says which layers are taken.
#include <algorithm>

#include "base/error.h"
#include "base/parse.h"
#include "base/text_table.h"
#include "base/thread_pool.h"
#include "compress/cast.h"
#include "compress/factorized_embedding.h"
#include "compress/layer_choice.h"
#include "compress/params.h"
#include "compress/part_choice.h"
#include "compress/width_projection.h"
#include "model/compression_config.h"
#include "model/exits.h"
#include "model/new_model.h"

namespace penjing {

namespace {

struct Params {
  int64_t layers = 0, hidden = 0, embedding_width = 0, seed = 1;
  std::string from = "uniform", heads, intermediate, importance = "magnitude", init = "copy";
  Json config = Json::object();

  template <class Visitor>
  void visit(Visitor& v) {
    v.integer("layers", layers, 0, kMaxLayers, "how many layers; 0: all, or as many as `from` lists");
    v.text("from", from,
           "which of the teacher's: uniform, first, last, skip, alternate, symmetric, or a list as 0,3,5");
    v.text("heads", heads,
           "heads a layer: one number, or one a layer as 12,8,8; default: all, or as many as fill `hidden`");
    v.text("intermediate", intermediate, "inner features a layer: one number, or one a layer; default: all");
    v.integer("hidden", hidden, 0, kMaxWidth, "width of the hidden states; 0: the teacher's");
    v.integer("embedding_width", embedding_width, 0, kMaxWidth,
              "width of the word embeddings, projected to the hidden states' (as ALBERT's; of BERT: the "
              "result is an "
              "ELECTRA); 0: no such projection");
    v.choice("importance", importance, {"magnitude", "activation"},
             "which heads and features stay: by their weights, or by what they add in texts");
    v.choice("init", init, {"copy", "random"}, "the teacher's weights, or fresh ones of the same sizes");
    v.json("config", config,
           "keys of config.json that the student has otherwise, for one of another shape whose layers are "
           "fresh: {\"intra_bottleneck_size\": 128}; null takes a key away");
    v.integer("seed", seed, 0, INT32_MAX, "of fresh weights");
  }
};

// "" : nothing; "8": that for every layer; "8,4,...": one a layer. A layer without the part stays without.
void read_widths(const std::string& text, const char* what, std::vector<LayerWidths>& widths,
                 int64_t LayerWidths::*part) {
  if (text.empty()) return;
  const std::vector<int64_t> numbers = parse_integers(text, what, 1, kMaxWidth);
  if (numbers.size() != 1 && numbers.size() != widths.size())
    fail(ErrorKind::kInput, "{}: {} numbers for {} layers", what, numbers.size(), widths.size());
  for (std::size_t layer = 0; layer < widths.size(); ++layer) {
    if (widths[layer].*part > 0) widths[layer].*part = numbers[numbers.size() == 1 ? 0 : layer];
  }
}

// Every floating tensor drawn anew: tables and weights from a normal distribution, gains 1, the rest 0. An
// untied decoder that equals the word embeddings goes on doing so.
void draw_weights(Model& model, uint64_t seed) {
  const double deviation = config_double_or(model.config, "initializer_range", 0.02, 0, 1);
  const std::string words = model.description.embedding.word + ".weight";
  const Tensor old_words = model.tensors.at(words);
  std::vector<TensorMap::Entry> fresh;
  for (const auto& [name, tensor] : model.tensors) {
    if (tensor.type != DType::kF32 && tensor.type != DType::kF16 && tensor.type != DType::kBF16) continue;
    const bool as_words =
        tensor.shape == old_words.shape && std::ranges::equal(tensor.bytes, old_words.bytes);
    Tensor drawn;
    if (tensor.shape.size() > 1) {
      drawn = draw_truncated_normal(tensor.shape, deviation, seed, as_words ? words : name);
    } else {
      const float value = name.ends_with(".weight") ? 1.0f : 0.0f;
      drawn = Tensor::from_floats(tensor.shape,
                                  std::vector<float>(static_cast<std::size_t>(tensor.size()), value));
    }
    fresh.push_back({name, tensor.type == DType::kF32 ? drawn : cast(drawn, tensor.type, name)});
  }
  for (auto& [name, tensor] : fresh) model.tensors.set(name, tensor);
}

// A model of config.json with the changes: layers fresh, the rest the teacher's where it fits.
Model reshape(const Model& teacher, const Params& params, MethodReport& report) {
  const Params others;
  if (params.layers != 0 || params.hidden != 0 || params.from != others.from || !params.heads.empty() ||
      !params.intermediate.empty() || params.importance != others.importance || params.embedding_width != 0)
    fail(ErrorKind::kInput, "student: config says the whole shape; wanted without other sizes");
  Json config = teacher.config;
  for (const auto& [key, value] : params.config.as_object("config")) {
    if (value.is_null()) {
      config.erase(key);
    } else {
      config.set(key, value);
    }
  }
  Model student = teacher;
  const Model fresh = new_model(config, static_cast<uint64_t>(params.seed));
  student.config = config;
  student.tensors = fresh.tensors;
  student.description = fresh.description;
  const std::string_view layers = size_names(student).layer_prefix;
  std::vector<std::string> shared, drawn;
  for (const auto& [name, tensor] : fresh.tensors) {
    if (name.starts_with(layers)) continue;
    const Tensor* known = teacher.tensors.find(name);
    const bool fits = known != nullptr && known->shape == tensor.shape && params.init == "copy";
    if (fits) student.tensors.set(name, *known);
    (fits ? shared : drawn).push_back(name);
  }
  report.details.set("shared_tensors", static_cast<int64_t>(shared.size()));
  std::string list;
  for (const std::string& name : drawn) list += (list.empty() ? "" : ", ") + name;
  report.notes.push_back(
      fmt::format("{} layers are fresh; of embeddings and heads {} tensors are the teacher's{}",
                  student.description.num_layers, shared.size(), list.empty() ? "" : ", fresh are " + list));
  check_model(student, false);
  return student;
}

std::string describe_numbers(const std::vector<int64_t>& numbers, int64_t all) {
  if (static_cast<int64_t>(numbers.size()) == all) return fmt::format("all {}", all);
  std::string text;
  for (const int64_t number : numbers) text += fmt::format("{}{}", text.empty() ? "" : ",", number);
  return fmt::format("{} ({} of {})", text, numbers.size(), all);
}

void report_layers(const std::vector<int>& layers, const ModelSizes& teacher,
                   const std::vector<KeptParts>& kept, MethodReport& report) {
  TextTable table({"layer", "teacher's", "heads", "inner features"}, "rrll");
  Json list = Json::array();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerWidths& widths = teacher.layers[i];
    const auto inner =
        kept[i].inner.empty() ? int64_t{0} : static_cast<int64_t>(kept[i].inner.front().size());
    table.add_row({std::to_string(i), std::to_string(layers[i]),
                   describe_numbers(kept[i].heads, widths.num_heads),
                   fmt::format("{} of {}", inner, widths.intermediate_size)});
    Json heads = Json::array();
    for (const int64_t head : kept[i].heads) heads.push_back(head);
    list.push_back(Json::object({{"teacher", layers[i]}, {"heads", heads}, {"intermediate", inner}}));
  }
  report.details.set("layers", list);
  report.notes.push_back("layers of the student:\n" + table.str());
}

Model apply(const Model& input, const Json& resolved, MethodContext& context, MethodReport& report) {
  const auto params = read_params<Params>(resolved);
  if (const Json* scheme = input.config.find("quantization_config"); scheme != nullptr && !scheme->is_null())
    fail(ErrorKind::kInput, "student: the teacher is quantized; carve first and quantize the result");
  check_model(input, false);
  if (find_compression(input.config, "shared") != nullptr)
    fail(ErrorKind::kUnsupported, "student: the teacher's layers share weights");

  if (!params.config.is_object())
    fail(ErrorKind::kInput, "student: config: {}, wanted an object", params.config.dump());
  if (!params.config.as_object("config").empty()) return reshape(input, params, report);

  const bool copies = params.init == "copy";
  const std::vector<int> layers = choose_layers(params.from, params.layers, input.description.num_layers);
  Model teacher = input;
  if (drop_exits(teacher)) {
    report.notes.push_back("without the teacher's exits: penjing byot trains a model's own");
  }
  Model model = keep_layers(teacher, layers);
  const ModelSizes whole = read_sizes(model);
  const bool narrows = params.hidden != 0 && params.hidden != whole.hidden;
  std::vector<LayerWidths> wanted = whole.layers;
  if (narrows && params.heads.empty()) {
    for (LayerWidths& widths : wanted)
      widths.num_heads = std::min(widths.num_heads, std::max<int64_t>(1, params.hidden / whole.head_dim));
  }
  read_widths(params.heads, "heads", wanted, &LayerWidths::num_heads);
  read_widths(params.intermediate, "intermediate", wanted, &LayerWidths::intermediate_size);

  const bool by_activation = params.importance == "activation" && copies && wanted != whole.layers;
  const bool needs_texts = by_activation || (narrows && copies);
  if (needs_texts && !context.run_calibration)
    fail(ErrorKind::kInput, "student: importance activation and hidden need calibration texts");
  if (needs_texts) {
    report.details.set("calibration", context.calibration_source);
    if (context.note) context.note("calibration: " + context.calibration_source);
  }
  const std::vector<KeptParts> kept =
      choose_parts(model, wanted, by_activation ? context.run_calibration : CalibrationRun{});
  cut_parts(model, kept);
  report_layers(layers, whole, kept, report);
  if (narrows) {
    ThreadPool pool(context.threads);
    const WidthProjection projection =
        copies ? find_projection(model, params.hidden, context.run_calibration, pool)
               : truncate_width(model, params.hidden);
    model = project_width(model, projection, pool, report.notes);
    if (copies) {
      report.details.set("energy", projection.energy);
      report.notes.push_back(
          fmt::format("{} of {} directions hold {:.1f} % of the hidden states' second moment", projection.to,
                      projection.from, 100 * projection.energy));
    }
  }
  if (params.embedding_width != 0) {
    ThreadPool pool(context.threads);
    FactorizedEmbedding factorized = factorize_embedding(model, params.embedding_width, pool);
    model = std::move(factorized.model);
    report.details.set("embedding_energy", factorized.energy);
    report.details.set("embedding_error", factorized.error);
    report.notes.push_back(fmt::format(
        "{} of {} directions hold {:.1f} % of the embeddings' variance; their output differs by {:.1f} %, "
        "squared",
        params.embedding_width, model.description.hidden_size, 100 * factorized.energy,
        100 * factorized.error));
  }
  if (!copies) draw_weights(model, static_cast<uint64_t>(params.seed));
  if (has_own_widths(model))
    report.notes.push_back(
        "compression_config.layers in config.json says the widths: only Penjing loads this model");
  check_model(model, false);
  return model;
}

}  // namespace

extern const Method student_method;
const Method student_method = {
    "student",
    "student",
    "carves a smaller model from a teacher: fewer layers, heads, inner features, a narrower width",
    "Takes some of a teacher's layers, the most important of their heads and inner features, and projects "
    "the "
    "width on the directions in which the hidden states vary most. Without training: `verify` and `eval` "
    "show "
    "what is left, `distill` and `finetune` bring most of it back. uniform takes 0,2,4,7,9,11 of twelve "
    "(DistilBERT), skip 1,3,5,7,9,11 (PKD), first is the best choice of Poor Man's BERT.\n\n"
    "Examples:\n  penjing student bert-base-stsb --layers 6 --out bert-6\n"
    "  penjing student bert-base-stsb --from 0,2,5,11 --intermediate 1536 --importance activation --out "
    "bert-4\n"
    "  penjing student minilm --layers 3 --embedding-width 128 --out minilm-3-narrow\n"
    "  penjing student minilm --layers 3 --hidden 256 --calibration texts.txt --out minilm-3-256\n"
    "  penjing student ib-bert --config '{\"intra_bottleneck_size\": 128, \"normalization_type\": "
    "\"no_norm\"}' --out mobile",
    Needs::kCalibrationText,
    list_params<Params>,
    apply};

}  // namespace penjing
