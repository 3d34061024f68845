#include "model/new_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "model/architectures.h"
#include "model/block_parts.h"

namespace penjing {

namespace {

constexpr double kDeviation = 0.02;  // BERT's initializer_range

Tensor filled(int64_t size, float value) {
  return Tensor::from_floats({size}, std::vector<float>(static_cast<std::size_t>(size), value));
}

// Adds what is not there.
class Fresh {
 public:
  Fresh(Model& model, double deviation, uint64_t seed) : model_(model), deviation_(deviation), seed_(seed) {}

  void table(const std::string& name, int64_t rows, int64_t width) { matrix(name + ".weight", rows, width); }
  void matrix(const std::string& tensor, int64_t rows, int64_t width) {
    if (model_.tensors.find(tensor) == nullptr)
      model_.tensors.set(tensor, draw_truncated_normal({rows, width}, deviation_, seed_, tensor));
  }
  void layer(const LinearSpec& spec) {
    table(spec.name, spec.out, spec.in);
    if (spec.bias) vector(spec.name + ".bias", spec.out, 0);
  }
  void norm(const NormSpec& spec) {
    vector(spec.name + ".weight", spec.width, 1);
    if (spec.bias) vector(spec.name + ".bias", spec.width, 0);
  }
  void vector(const std::string& name, int64_t size, float value) {
    if (model_.tensors.find(name) == nullptr) model_.tensors.set(name, filled(size, value));
  }
  void head(const HeadSpec& spec) {
    if (spec.has_dense) layer(spec.dense);
    if (spec.has_norm) norm(spec.norm);
    if (!spec.has_projection) return;
    const std::string bias =
        spec.projection_bias.empty() ? spec.projection.name + ".bias" : spec.projection_bias;
    const Description& d = model_.description;
    const int64_t width = projection_row_width(d, spec);
    if (!spec.tied_to_word_embeddings) table(spec.projection.name, spec.projection.out, width);
    if (!spec.projection_rest.empty())
      matrix(spec.projection_rest, spec.projection.in - width, spec.projection.out);
    vector(bias, spec.projection.out, 0);
  }

 private:
  Model& model_;
  double deviation_;
  uint64_t seed_;
};

void require(const char* what, int64_t value, int64_t most) {
  if (value < 1 || value > most) fail(ErrorKind::kInput, "{} is {}; wanted 1 to {}", what, value, most);
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.type == b.type && a.shape == b.shape && a.bytes.size() == b.bytes.size() &&
         std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0;
}

std::array<NamedSize, 24> make_sizes() {
  std::array<NamedSize, 24> sizes;
  std::size_t i = 0;
  for (const int64_t layers : {2, 4, 6, 8, 10, 12}) {
    for (const int64_t hidden : {128, 256, 512, 768}) {
      NamedSize& size = sizes[i++];
      size.name = fmt::format("L-{}_H-{}", layers, hidden);
      size.sizes.layers = layers;
      size.sizes.hidden = hidden;
      if (layers == 2 && hidden == 128) size.nickname = "tiny";
      if (layers == 4 && hidden == 256) size.nickname = "mini";
      if (layers == 4 && hidden == 512) size.nickname = "small";
      if (layers == 8 && hidden == 512) size.nickname = "medium";
      if (layers == 12 && hidden == 768) size.nickname = "base";
    }
  }
  return sizes;
}

}  // namespace

Tensor draw_truncated_normal(Shape shape, double deviation, uint64_t seed, std::string_view name) {
  Rng rng(seed, fnv1a(name));
  std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
  for (float& value : values) {
    float draw = rng.normal();
    while (std::abs(draw) > 2) draw = rng.normal();
    value = static_cast<float>(deviation) * draw;
  }
  return Tensor::from_floats(std::move(shape), values);
}

Json bert_config(const BertSizes& sizes) {
  require("the number of layers", sizes.layers, kMaxLayers);
  require("the hidden size", sizes.hidden, kMaxWidth);
  require("the number of positions", sizes.max_positions, kMaxPositions);
  require("the vocabulary", sizes.vocab_size, kMaxVocab);
  const int64_t heads = sizes.heads != 0 ? sizes.heads : std::max<int64_t>(1, sizes.hidden / 64);
  const int64_t intermediate = sizes.intermediate != 0 ? sizes.intermediate : 4 * sizes.hidden;
  require("the number of heads", heads, sizes.hidden);
  require("the intermediate size", intermediate, kMaxWidth);
  if (sizes.hidden % heads != 0)
    fail(ErrorKind::kInput, "hidden size {} is not a multiple of the {} heads", sizes.hidden, heads);

  return Json::object({{"architectures", Json(Json::Array{Json("BertForMaskedLM")})},
                       {"model_type", "bert"},
                       {"vocab_size", sizes.vocab_size},
                       {"hidden_size", sizes.hidden},
                       {"num_hidden_layers", sizes.layers},
                       {"num_attention_heads", heads},
                       {"intermediate_size", intermediate},
                       {"hidden_act", "gelu"},
                       {"hidden_dropout_prob", 0.1},
                       {"attention_probs_dropout_prob", 0.1},
                       {"max_position_embeddings", sizes.max_positions},
                       {"type_vocab_size", 2},
                       {"initializer_range", kDeviation},
                       {"layer_norm_eps", 1e-12},
                       {"pad_token_id", 0},
                       {"torch_dtype", "float32"}});
}

Model new_model(const Json& config, uint64_t seed) {
  Model model;
  model.config = config;
  model.description = describe(model.config, model.tensors);
  const Description d = model.description;
  Fresh fresh(model, config_double_or(config, "initializer_range", kDeviation, 0, 1), seed);
  const EmbeddingSpec& e = d.embedding;
  fresh.table(e.word, e.vocab_size, e.width);
  if (!e.position.name.empty()) fresh.table(e.position.name, e.position.count, e.table_width());
  if (!e.token_type.empty()) fresh.table(e.token_type, e.type_vocab_size, e.table_width());
  if (e.has_norm) fresh.norm(e.norm);
  if (e.has_projection) fresh.layer(e.projection);
  for (const Block& block : d.blocks) {
    for (const LinearSpec* spec : linears_of(block)) fresh.layer(*spec);
    for (const NormSpec* spec : norms_of(block)) fresh.norm(*spec);
    const auto* attention = std::get_if<AttentionSpec>(&block.part);
    if (attention != nullptr && attention->position.scheme == PositionScheme::kRelativeBuckets)
      fresh.table(attention->position.name, attention->position.count, attention->num_heads);
  }
  for (const HeadSpec& head : d.heads) fresh.head(head);
  complete_model(model);
  return model;
}

Model new_bert(const BertSizes& sizes, uint64_t seed) {
  Model model = new_model(bert_config(sizes), seed);
  Fresh(model, kDeviation, seed).layer({"pooler.dense", sizes.hidden, sizes.hidden, true});
  complete_model(model);
  return model;
}

std::span<const NamedSize> named_sizes() {
  static const std::array<NamedSize, 24> sizes = make_sizes();
  return sizes;
}

BertSizes find_size(std::string_view name) {
  for (const NamedSize& size : named_sizes()) {
    if (name == size.name || (!size.nickname.empty() && name == size.nickname)) return size.sizes;
  }
  fail(ErrorKind::kInput,
       "no size \"{}\"; wanted tiny, mini, small, medium, base, or L-<2|4|6|8|10|12>_H-<128|256|512|768>",
       name);
}

void give_masked_lm_head(Model& model, uint64_t seed) {
  const Architecture* architecture = find_architecture(model.description.family);
  if (architecture == nullptr || architecture->class_name == nullptr)
    fail(ErrorKind::kUnsupported, "{}: this family has no masked-LM head", model.description.family);
  const std::string name = std::string(architecture->class_name) + "ForMaskedLM";
  std::vector<std::string> stale;
  for (const HeadSpec& head : model.description.heads) {
    const bool is_task = head.kind == HeadKind::kSequenceClassifier ||
                         head.kind == HeadKind::kTokenClassifier || head.kind == HeadKind::kQuestionAnswering;
    if (!is_task) continue;
    stale.push_back(head.projection.name + ".");
    if (head.kind == HeadKind::kSequenceClassifier && head.has_dense && head.dense.name != "pooler.dense")
      stale.push_back(head.dense.name + ".");
  }
  for (const SentenceModule& module : model.sentence.modules) {
    if (module.kind == SentenceModule::Kind::kDense) stale.push_back(module.dense.name + ".");
  }
  stale.push_back("cls.seq_relationship.");
  if (model.description.family == "mpnet") stale.push_back("pooler.");  // MPNetForMaskedLM has none
  std::vector<std::string> gone;
  for (const TensorMap::Entry& entry : model.tensors) {
    if (std::any_of(stale.begin(), stale.end(),
                    [&](const auto& prefix) { return entry.name.starts_with(prefix); }))
      gone.push_back(entry.name);
  }
  for (const std::string& tensor : gone) model.tensors.erase(tensor);
  for (const char* key : {"id2label", "label2id", "num_labels", "problem_type", "finetuning_task"})
    model.config.erase(key);
  model.config.set("architectures", Json(Json::Array{Json(name)}));
  model.id2label.clear();
  model.sentence = {};
  std::erase_if(model.side_files, [](const SideFile& file) {
    return file.path == "modules.json" || file.path == "config_sentence_transformers.json" ||
           file.path == "sentence_bert_config.json" || file.path.find('/') != std::string::npos;
  });

  model.description = describe(model.config, model.tensors);
  const HeadSpec* head = model.description.find_head(HeadKind::kMaskedLm);
  if (head == nullptr)
    fail(ErrorKind::kUnsupported, "{}: this family has no masked-LM head", model.description.family);
  if (!head->tied_to_word_embeddings) {
    const std::string weight = head->projection.name + ".weight";
    const Tensor* words = model.tensors.find(model.description.embedding.word + ".weight");
    if (words != nullptr && equal(*words, model.tensors.at(weight))) {
      model.tensors.erase(weight);
      model.description = describe(model.config, model.tensors);
      head = model.description.find_head(HeadKind::kMaskedLm);
    }
  }
  const double deviation = config_double_or(model.config, "initializer_range", kDeviation, 0, 1);
  Fresh(model, deviation, seed).head(*head);
  model.description = describe(model.config, model.tensors);
  check_model(model, false);
}

}  // namespace penjing
