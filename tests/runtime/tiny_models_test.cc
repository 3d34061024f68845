#include "tests/runtime/tiny_models.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/linear.h"
#include "numerics/float16.h"
#include "numerics/quantizer.h"

namespace penjing::testing {
namespace {

class TensorFiller {
 public:
  TensorFiller(Model& model, uint64_t seed) : model_(model), rng_(seed) {}

  void add(const std::string& name, Shape shape, double center, double spread) {
    if (model_.tensors.find(name) != nullptr) return;
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (float& value : values) value = static_cast<float>(center + spread * rng_.normal());
    model_.tensors.set(name, Tensor::from_floats(std::move(shape), values));
  }
  void add(const LinearSpec& spec) {
    add(spec.name + ".weight", {spec.out, spec.in}, 0, 1 / std::sqrt(static_cast<double>(spec.in)));
    if (spec.bias) add(spec.name + ".bias", {spec.out}, 0, 0.1);
  }
  void add(const NormSpec& spec) {
    if (spec.name.empty()) return;
    add(spec.name + ".weight", {spec.width}, 1, 0.1);
    if (spec.bias) add(spec.name + ".bias", {spec.width}, 0, 0.1);
  }

 private:
  Model& model_;
  Rng rng_;
};

LinearSpec linear(std::string name, int64_t in, int64_t out, bool bias = true) {
  return {std::move(name), in, out, bias};
}
NormSpec norm(std::string name, int64_t width, NormKind kind = NormKind::kLayerNorm, float epsilon = 1e-12f) {
  return {std::move(name), kind, width, epsilon, kind != NormKind::kRmsNorm};
}

AttentionSpec attention(const std::string& base, int64_t hidden, int64_t heads, int64_t head_dim) {
  AttentionSpec spec;
  spec.query = linear(base + "query", hidden, heads * head_dim);
  spec.key = linear(base + "key", hidden, heads * head_dim);
  spec.value = linear(base + "value", hidden, heads * head_dim);
  spec.output = linear(base + "output", heads * head_dim, hidden);
  spec.num_heads = heads;
  spec.head_dim = head_dim;
  spec.scale = attention_scale(head_dim);
  return spec;
}

FeedForwardSpec feed_forward(const std::string& base, int64_t hidden, int64_t inner, Activation activation) {
  FeedForwardSpec spec;
  spec.up = linear(base + "up", hidden, inner);
  spec.down = linear(base + "down", inner, hidden);
  spec.activation = activation;
  return spec;
}

HeadSpec head(HeadKind kind, const std::string& base, int64_t hidden, int64_t out) {
  HeadSpec spec;
  spec.kind = kind;
  spec.has_dense = kind != HeadKind::kTokenClassifier && kind != HeadKind::kQuestionAnswering;
  if (spec.has_dense) spec.dense = linear(base + "dense", hidden, hidden);
  spec.has_projection = kind != HeadKind::kPooler;
  if (spec.has_projection) spec.projection = linear(base + "projection", hidden, out);
  return spec;
}

}  // namespace

void fill_tensors(Model& model, uint64_t seed) {
  const Description& d = model.description;
  TensorFiller filler(model, seed);
  filler.add(d.embedding.word + ".weight", {d.embedding.vocab_size, d.embedding.width}, 0, 0.5);
  if (!d.embedding.token_type.empty()) {
    filler.add(d.embedding.token_type + ".weight", {d.embedding.type_vocab_size, d.embedding.table_width()},
               0, 0.2);
  }
  if (d.embedding.position.scheme != PositionScheme::kNone) {
    filler.add(d.embedding.position.name + ".weight", {d.embedding.position.count, d.embedding.table_width()},
               0, 0.2);
  }
  if (d.embedding.has_norm) filler.add(d.embedding.norm);
  if (d.embedding.has_projection) filler.add(d.embedding.projection);
  for (const Block& block : d.blocks) {
    if (const auto* a = std::get_if<AttentionSpec>(&block.part)) {
      for (const LinearSpec* spec : {&a->query, &a->key, &a->value, &a->output}) filler.add(*spec);
      if (a->position.scheme == PositionScheme::kRelativeBuckets)
        filler.add(a->position.name + ".weight", {a->position.count, a->num_heads}, 0, 0.7);
    } else if (const auto* f = std::get_if<FeedForwardSpec>(&block.part)) {
      filler.add(f->up);
      filler.add(f->down);
      if (f->gated) filler.add(f->gate);
    } else if (const auto* b = std::get_if<BottleneckSpec>(&block.part)) {
      filler.add(b->linear);
    } else {
      filler.add(std::get<NormSpec>(block.part));
    }
    if (block.norm_place != NormPlace::kNone) filler.add(block.norm);
  }
  for (const HeadSpec& spec : d.heads) {
    if (spec.has_dense) filler.add(spec.dense);
    if (spec.has_norm) filler.add(spec.norm);
    if (!spec.projection_bias.empty()) filler.add(spec.projection_bias, {spec.projection.out}, 0, 0.1);
    if (!spec.projection_rest.empty()) {
      const int64_t rest = spec.projection.in - projection_row_width(d, spec);
      filler.add(spec.projection_rest, {rest, spec.projection.out}, 0, 0.2);
    }
    if (spec.has_projection && !spec.tied_to_word_embeddings) filler.add(spec.projection);
  }
  for (const SentenceModule& module : model.sentence.modules) {
    if (module.kind == SentenceModule::Kind::kDense) filler.add(module.dense);
  }
}

Model make_bert_like(uint64_t seed) {
  constexpr int64_t kHidden = 32;
  Model model;
  model.config = Json::object();
  Description& d = model.description;
  d.family = "bert";
  d.hidden_size = kHidden;
  d.num_layers = 4;
  d.max_positions = 160;
  d.embedding.word = "embeddings.word_embeddings";
  d.embedding.vocab_size = 97;
  d.embedding.width = kHidden;
  d.embedding.token_type = "embeddings.token_type_embeddings";
  d.embedding.type_vocab_size = 2;
  d.embedding.position = {PositionScheme::kLearned, "embeddings.position_embeddings", 160, 0, 0, 0, 0};
  d.embedding.norm = norm("embeddings.LayerNorm", kHidden);
  const int64_t heads[] = {4, 2, 0, 3}, inner[] = {70, 24, 41, 0};
  int value = 0;
  for (int layer = 0; layer < 4; ++layer) {
    const std::string base = "encoder.layer." + std::to_string(layer) + ".";
    if (heads[layer] > 0) {
      d.blocks.push_back({base + "attention", layer, value, value, NormPlace::kPost,
                          norm(base + "attention.LayerNorm", kHidden),
                          attention(base + "attention.", kHidden, heads[layer], 8)});
      value = static_cast<int>(d.blocks.size());
    }
    if (inner[layer] > 0) {
      d.blocks.push_back({base + "ffn", layer, value, value, NormPlace::kPost,
                          norm(base + "ffn.LayerNorm", kHidden),
                          feed_forward(base + "ffn.", kHidden, inner[layer], Activation::kGelu)});
      value = static_cast<int>(d.blocks.size());
    }
  }
  d.output = value;
  d.heads.push_back(head(HeadKind::kPooler, "pooler.", kHidden, 0));
  d.heads.push_back(head(HeadKind::kSequenceClassifier, "classifier.", kHidden, 3));
  d.heads.push_back(head(HeadKind::kTokenClassifier, "tokens.", kHidden, 9));
  HeadSpec words = head(HeadKind::kMaskedLm, "words.", kHidden, d.embedding.vocab_size);
  words.activation = Activation::kGelu;
  words.has_norm = true;
  words.norm = norm("words.LayerNorm", kHidden);
  words.tied_to_word_embeddings = true;
  words.projection_bias = "words.bias";
  d.heads.push_back(words);
  d.heads.push_back(head(HeadKind::kQuestionAnswering, "qa.", kHidden, 2));
  SentenceModule pooling, dense, normalize;
  pooling.pooling.modes = {PoolingMode::kMean};
  dense.kind = SentenceModule::Kind::kDense;
  dense.dense = linear("2_Dense.linear", kHidden, 20);
  dense.activation = Activation::kTanh;
  normalize.kind = SentenceModule::Kind::kNormalize;
  model.sentence.modules = {pooling, dense, normalize};
  fill_tensors(model, seed);
  return model;
}

Model make_mixed(uint64_t seed) {
  constexpr int64_t kHidden = 32, kNarrow = 20;
  Model model;
  model.config = Json::object();
  Description& d = model.description;
  d.family = "mixed";
  d.hidden_size = kHidden;
  d.num_layers = 2;
  d.max_positions = 158;
  d.embedding.word = "embeddings.word_embeddings";
  d.embedding.vocab_size = 61;
  d.embedding.width = kNarrow;
  d.embedding.position = {PositionScheme::kLearnedOffset, "embeddings.position_embeddings", 160, 2, 0, 0, 0};
  d.embedding.norm = norm("embeddings.LayerNorm", kNarrow, NormKind::kLayerNorm, 1e-5f);
  d.embedding.has_projection = true;
  d.embedding.projection = linear("embeddings.projection", kNarrow, kHidden);

  BottleneckSpec narrow{linear("bottleneck.in", kHidden, 12), Activation::kNone};
  d.blocks.push_back({"bottleneck.in", 0, 0, kNoValue, NormPlace::kPost,
                      norm("bottleneck.in.norm", 12, NormKind::kAffine), narrow});
  AttentionSpec split = attention("split.", 12, 3, 4);
  split.query.in = split.key.in = kHidden;
  split.query_key_input = 0;
  split.value.bias = false;
  split.position = {PositionScheme::kRelativeBuckets, "split.positions", 32, 0, 32, 128, 0};
  d.blocks.push_back({"split", 0, 1, 1, NormPlace::kPost, norm("split.norm", 12, NormKind::kAffine), split});
  BottleneckSpec wide{linear("bottleneck.out", 12, kHidden), Activation::kTanh};
  d.blocks.push_back(
      {"bottleneck.out", 0, 2, 0, NormPlace::kPost, norm("bottleneck.out.norm", kHidden), wide});

  AttentionSpec local = attention("local.", kHidden, 4, 8);
  local.window = 5;
  local.position = {PositionScheme::kRelativeBuckets, "local.positions", 8, 0, 8, 12, 0};
  d.blocks.push_back({"local", 1, 3, 3, NormPlace::kPre, norm("local.norm", kHidden), local});
  FeedForwardSpec gated = feed_forward("gated.", kHidden, 44, Activation::kSilu);
  gated.gated = true;
  gated.gate = linear("gated.gate", kHidden, 44, false);
  d.blocks.push_back(
      {"gated", 1, 4, 4, NormPlace::kPre, norm("gated.norm", kHidden, NormKind::kRmsNorm, 1e-6f), gated});
  // No norm, a low-rank product up and the gate's weights shared by a second block.
  FeedForwardSpec plain = feed_forward("plain.", kHidden, 44, Activation::kGeluTanh);
  d.blocks.push_back({"plain", 1, 5, 2 + 1, NormPlace::kNone, {}, plain});
  FeedForwardSpec relu = feed_forward("relu.", kHidden, 44, Activation::kRelu);
  relu.up.bias = false;
  d.blocks.push_back({"relu", 1, 6, kNoValue, NormPlace::kNone, {}, relu});
  const NormSpec last = norm("final_norm", kHidden);
  d.blocks.push_back({"final_norm", 1, 7, kNoValue, NormPlace::kNone, {}, last});
  d.output = 8;

  Rng rng(seed, 1);
  for (const auto& [name, shape] : {std::pair("plain.up.weight_left", Shape{44, 6}),
                                    std::pair("plain.up.weight_right", Shape{6, kHidden})}) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (float& value : values) value = 0.4f * rng.normal();
    model.tensors.set(name, Tensor::from_floats(shape, values));
  }
  Json shared = Json::object();
  shared.set("relu.up", "gated.gate");
  Json compression = Json::object();
  compression.set("shared", shared);
  model.config.set("compression_config", compression);
  fill_tensors(model, seed);
  model.tensors.erase("plain.up.weight");
  model.tensors.erase("relu.up.weight");
  return model;
}

Model make_mobilebert(uint64_t seed) {
  Model model;
  model.config = Json::object({{"model_type", "mobilebert"},
                               {"architectures", Json(Json::Array{Json("MobileBertForSequenceClassification"),
                                                                  Json("MobileBertForMaskedLM")})},
                               {"vocab_size", 61},
                               {"embedding_size", 10},
                               {"hidden_size", 36},
                               {"intra_bottleneck_size", 20},
                               {"num_hidden_layers", 2},
                               {"num_attention_heads", 2},
                               {"intermediate_size", 26},
                               {"num_feedforward_networks", 3},
                               {"hidden_act", "relu"},
                               {"max_position_embeddings", 160},
                               {"type_vocab_size", 2}});
  model.description = describe(model.config, model.tensors);
  fill_tensors(model, seed);
  return model;
}

Model quantize_tiny(const Model& model, bool symmetric) {
  Model quantized = model;
  for (const TensorMap::Entry& entry : model.tensors) {
    const std::string& name = entry.name;
    const bool is_weight = name.size() > 7 && name.compare(name.size() - 7, 7, ".weight") == 0;
    const HeadSpec* words = model.description.find_head(HeadKind::kMaskedLm);
    const bool is_rest = words != nullptr && name == words->projection_rest;
    if (!is_weight || is_rest || entry.tensor.shape.size() != 2) continue;
    const int64_t rows = entry.tensor.shape[0], columns = entry.tensor.shape[1];
    const std::vector<float> values = read_floats(entry.tensor, name);
    std::vector<int8_t> codes(values.size());
    std::vector<float> scales(static_cast<std::size_t>(rows));
    quantize_rows_symmetric(values, rows, columns, kInt8, codes, scales);
    std::vector<std::byte> bytes(codes.size());
    std::transform(codes.begin(), codes.end(), bytes.begin(), [](int8_t c) { return std::byte(c); });
    quantized.tensors.set(name, Tensor::from_bytes(DType::kI8, {rows, columns}, std::move(bytes)));
    quantized.tensors.set(name + "_scale", Tensor::from_floats({rows, 1}, scales));
  }
  Json activations = Json::object();
  activations.set("dynamic", true);
  activations.set("strategy", "token");
  activations.set("symmetric", symmetric);
  Json group = Json::object();
  group.set("targets", Json(Json::Array{Json("Linear")}));
  group.set("input_activations", activations);
  Json groups = Json::object();
  groups.set("group_0", group);
  Json config = Json::object();
  config.set("quant_method", "compressed-tensors");
  config.set("format", "int-quantized");
  config.set("config_groups", groups);
  quantized.config.set("quantization_config", config);
  return quantized;
}

void zero_blocks(Model& model, double share) {
  Rng rng(78);
  TensorMap changed;
  for (const auto& [name, tensor] : model.tensors) {
    if (!name.ends_with(".weight") || tensor.shape.size() != 2 ||
        name.find("embeddings.") != std::string::npos)
      continue;
    std::vector<std::byte> bytes(tensor.bytes.begin(), tensor.bytes.end());
    const auto rows = tensor.shape[0], columns = tensor.shape[1];
    const auto size = static_cast<int64_t>(bytes.size()) / (rows * columns);
    for (int64_t group = 0; group < rows; group += 4) {
      for (int64_t i = 0; i < columns; ++i) {
        if (rng.uniform() >= share) continue;
        for (int64_t o = group; o < std::min(rows, group + 4); ++o) {
          std::fill_n(bytes.begin() + (o * columns + i) * size, size, std::byte{0});
        }
      }
    }
    changed.set(name, Tensor::from_bytes(tensor.type, tensor.shape, std::move(bytes)));
  }
  for (const auto& [name, tensor] : changed) model.tensors.set(name, tensor);
}

void round_to_bf16(Model& model) {
  TensorMap changed;
  for (const auto& [name, tensor] : model.tensors) {
    const std::vector<float> values = read_floats(tensor, name);
    std::vector<std::byte> bytes(2 * values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const uint16_t rounded = float_to_bfloat16(values[i]);
      std::memcpy(bytes.data() + 2 * i, &rounded, 2);
    }
    changed.set(name, Tensor::from_bytes(DType::kBF16, tensor.shape, std::move(bytes)));
  }
  model.tensors = changed;
}

void set_input_scheme(Model& model, const ActivationScheme& scheme, bool smooth) {
  const bool fixed = scheme.kind == ActivationScheme::Kind::kStatic;
  Json* activations = model.config.find("quantization_config")
                          ->find("config_groups")
                          ->find("group_0")
                          ->find("input_activations");
  activations->set("dynamic", !fixed);
  activations->set("strategy", fixed ? "tensor" : "token");
  activations->set("symmetric", scheme.symmetric);
  activations->set("num_bits", scheme.bits);
  Rng rng(77);
  TensorMap added;
  for (const auto& [name, tensor] : model.tensors) {
    if (tensor.type != DType::kI8 || !name.ends_with(".weight")) continue;
    const std::string module = name.substr(0, name.size() - 7);
    if (smooth) {
      std::vector<float> values(static_cast<std::size_t>(tensor.shape[1]));
      // One vector for one width, so that products of one input can share its codes.
      Rng own(static_cast<uint64_t>(tensor.shape[1]));
      for (float& value : values) value = std::exp(0.5f * own.normal());
      added.set(module + ".smooth", Tensor::from_floats({tensor.shape[1]}, values));
    }
    if (!fixed) continue;
    const int half = 1 << (scheme.bits - 1);
    const float scale[] = {6.0f / static_cast<float>(2 * half - 1)};
    added.set(module + ".input_scale", Tensor::from_floats({1}, scale));
    added.set(module + ".input_zero_point",
              Tensor::from_bytes(DType::kI8, {1},
                                 {static_cast<std::byte>(scheme.symmetric ? 0 : rng.below(9) - 4)}));
  }
  for (const auto& [name, tensor] : added) model.tensors.set(name, tensor);
}

std::vector<int32_t> random_ids(Rng& rng, int64_t length, int64_t vocab_size) {
  std::vector<int32_t> ids(static_cast<std::size_t>(length));
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.below(static_cast<uint64_t>(vocab_size)));
  return ids;
}

RaggedBatch random_batch(Rng& rng, int64_t num_sequences, int64_t max_length, int64_t vocab_size) {
  RaggedBatch batch;
  for (int64_t i = 0; i < num_sequences; ++i) {
    const int64_t limit = rng.below(4) == 0 ? max_length : std::min<int64_t>(max_length, 20);
    batch.append(
        random_ids(rng, 1 + static_cast<int64_t>(rng.below(static_cast<uint64_t>(limit))), vocab_size));
  }
  return batch;
}

// The models are what the other tests stand on: they must really hold what their comments say.
TEST(TinyModels, HoldWhatTheySay) {
  const Model bert = make_bert_like(1);
  EXPECT_EQ(bert.description.blocks.size(), 6u);
  EXPECT_EQ(bert.description.heads.size(), 5u);
  const Model mixed = make_mixed(1);
  EXPECT_EQ(resolve_linear(mixed, std::get<FeedForwardSpec>(mixed.description.blocks[5].part).up).kind,
            LinearKind::kLowRank);
  EXPECT_EQ(resolve_linear(mixed, std::get<FeedForwardSpec>(mixed.description.blocks[6].part).up).shared_with,
            "gated.gate");
  const Model mobile = make_mobilebert(1);
  EXPECT_TRUE(mobile.description.embedding.trigram);
  EXPECT_EQ(mobile.description.blocks.size(), 14u);  // three bottlenecks, attention, three feed-forwards
  EXPECT_EQ(mobile.description.heads.size(), 2u);
  check_model(mobile, true);
  const Model integer = quantize_tiny(bert, false);
  EXPECT_EQ(
      resolve_linear(integer, std::get<AttentionSpec>(bert.description.blocks[0].part).query).activations,
      (ActivationScheme{ActivationScheme::Kind::kPerToken, false, 8}));
}

}  // namespace penjing::testing
