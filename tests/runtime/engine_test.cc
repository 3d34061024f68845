#include "runtime/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/mapped_file.h"
#include "kernels/cpu.h"
#include "tests/runtime/reference_forward.h"
#include "tests/runtime/tiny_models.h"

namespace penjing {
namespace {

using testing::IntegerProducts;
using testing::Matrix;

Prediction run_hidden(const Model& model, const RaggedBatch& batch, int threads = 2) {
  const auto engine = Engine::build(model);
  return engine->new_session(std::make_shared<ThreadPool>(threads))->predict(batch, {});
}

// Largest difference from the float64 reference over a whole batch.
double largest_error(const Model& model, const RaggedBatch& batch, IntegerProducts integers) {
  const Prediction got = run_hidden(model, batch);
  double worst = 0;
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    const auto slice = [&](const std::vector<int32_t>& all) {
      return all.empty()
                 ? all
                 : std::vector<int32_t>(all.begin() + batch.offsets[i], all.begin() + batch.offsets[i + 1]);
    };
    const Matrix want = reference_hidden(model, slice(batch.ids), slice(batch.type_ids), integers);
    for (int64_t t = 0; t < batch.length(i); ++t) {
      const auto row = got.row(got.row_offsets[i] + t);
      EXPECT_EQ(row.size(), want[t].size());
      for (std::size_t f = 0; f < row.size(); ++f) worst = std::max(worst, std::abs(row[f] - want[t][f]));
    }
  }
  return worst;
}

RaggedBatch some_batch(const Model& model, uint64_t seed) {
  Rng rng(seed);
  return testing::random_batch(rng, 9, 150, model.description.embedding.vocab_size);
}

// FP32 against float64: 8 blocks of sums of at most 70 terms of size about 1, so a few hundred times 2^-24.
TEST(Engine, UnequalWidthsAgreeWithFloat64) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const Model model = testing::make_bert_like(seed);
    RaggedBatch batch = some_batch(model, seed);
    Rng rng(seed, 7);
    batch.type_ids = testing::random_ids(rng, batch.num_tokens(), 2);
    EXPECT_LT(largest_error(model, batch, IntegerProducts::kExact), 2e-5);
  }
}

TEST(Engine, EveryKindOfBlockAgreesWithFloat64) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    for (const Model& model : {testing::make_mixed(seed), testing::make_mobilebert(seed)})
      EXPECT_LT(largest_error(model, some_batch(model, seed), IntegerProducts::kExact), 2e-5);
  }
}

// A code flips where FP32 and float64 round to different sides; a flip is 1/255 of a row's range in one input
// of a product. Rows are normalised to deviation 1, so 0.05 is a handful of flips and a wrong formula is far
// beyond. tap_test.cc checks single products to the bit.
TEST(Engine, IntegerProductsAgreeWithFloat64OnTheSameCodes) {
  for (const bool symmetric : {false, true}) {
    const Model bert = testing::quantize_tiny(testing::make_bert_like(5), symmetric);
    EXPECT_LT(largest_error(bert, some_batch(bert, 5), IntegerProducts::kQuantized), 0.05);
    const Model mixed = testing::quantize_tiny(testing::make_mixed(5), symmetric);
    EXPECT_LT(largest_error(mixed, some_batch(mixed, 5), IntegerProducts::kQuantized), 0.05);
  }
}

TEST(Engine, EveryWayToQuantizeInputsAgreesWithFloat64) {
  using Kind = ActivationScheme::Kind;
  for (const Kind kind : {Kind::kPerToken, Kind::kStatic}) {
    for (const bool symmetric : {false, true}) {
      for (const int bits : {7, 8}) {
        for (const bool smooth : {false, true}) {
          for (Model model : {testing::make_bert_like(5), testing::make_mixed(5)}) {
            model = testing::quantize_tiny(model, symmetric);
            testing::set_input_scheme(model, {kind, symmetric, bits}, smooth);
            for (const Block& block : model.description.blocks) {
              const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part);
              if (feed_forward == nullptr) continue;
              const Linear linear = resolve_linear(model, feed_forward->down);
              EXPECT_EQ(linear.activations, (ActivationScheme{kind, symmetric, bits}));
              EXPECT_EQ(linear.smooth.bytes.empty(), !smooth);
            }
            EXPECT_LT(largest_error(model, some_batch(model, 5), IntegerProducts::kQuantized),
                      bits == 8 ? 0.1 : 0.2)
                << "static " << (kind == Kind::kStatic) << " symmetric " << symmetric << " bits " << bits
                << " smooth " << smooth;
          }
        }
      }
    }
  }
}

TEST(Engine, WeightOnlyIsComputedInFloat) {
  Model model = testing::quantize_tiny(testing::make_bert_like(6), false);
  model.config.erase("quantization_config");
  EXPECT_LT(largest_error(model, some_batch(model, 6), IntegerProducts::kExact), 2e-5);
}

TEST(Engine, PackedBytesShrinkWithIntegers) {
  const Isa before = isa_limit();
  force_isa_limit(std::min(before, Isa::kAvx512Bf16));  // AMX pads the tiny model's widths to whole tiles
  const Model model = testing::make_bert_like(1);
  const std::size_t whole = Engine::build(model, {{OutputKind::kEmbedding}})->packed_bytes();
  const Model integer = testing::quantize_tiny(model, false);
  EXPECT_LT(Engine::build(integer, {{OutputKind::kEmbedding}})->packed_bytes(), whole / 2);
  force_isa_limit(before);
}

TEST(Engine, UnsupportedPositionsAreNamed) {
  Model model = testing::make_bert_like(1);
  std::get<AttentionSpec>(model.description.blocks[0].part).position.scheme = PositionScheme::kRotary;
  try {
    Engine::build(model);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("rotary"), std::string::npos) << error.what();
  }
}

TEST(Engine, WidthsThatDoNotFitAreNamed) {
  Model model = testing::make_bert_like(1);
  model.description.blocks[0].norm.width = 31;
  model.description.blocks[2].input = 99;
  EXPECT_THROW(Engine::build(model), Error);
  Model other = testing::make_bert_like(1);
  other.tensors.erase("encoder.layer.0.ffn.up.weight");
  try {
    Engine::build(other);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("encoder.layer.0.ffn.up.weight"), std::string::npos);
  }
}

// tests/data/tiny_blocks.json: a block list and its float64 outputs by tools/oracles/numpy_encoder.py, which
// was written without sight of this runtime.
std::vector<std::byte> decode_base64(const std::string& text) {
  std::vector<std::byte> bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const std::size_t digit = alphabet.find(c);
    if (digit == std::string::npos) break;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count >= 8) bytes.push_back(std::byte(bits >> (count -= 8) & 0xff));
  }
  return bytes;
}

class OracleModel {
 public:
  explicit OracleModel(const Json& json) : json_(json) {
    model_.config = Json::object();
    for (const auto& [name, tensor] : json.find("tensors")->as_object("tensors")) {
      Shape shape;
      for (const Json& size : tensor.find("shape")->as_array(name)) shape.push_back(size.as_int(name));
      model_.tensors.set(
          name, Tensor::from_bytes(DType::kF32, shape, decode_base64(tensor.find("data")->as_string(name))));
    }
    const Json& embedding = *json.find("embedding");
    Description& d = model_.description;
    d.embedding.word = text(embedding, "word");
    d.embedding.width = number(embedding, "width");
    d.embedding.vocab_size = number(embedding, "vocab_size");
    d.embedding.token_type = text(embedding, "token_type");
    d.embedding.type_vocab_size = model_.tensors.at(d.embedding.token_type + ".weight").shape[0];
    d.max_positions = number(embedding, "max_positions");
    d.embedding.position.name = text(embedding, "position");
    d.embedding.position.count = d.max_positions;
    d.embedding.norm = norm(*embedding.find("norm"));
    for (const Json& block : json.find("blocks")->as_array("blocks")) add_block(block);
    d.output = static_cast<int>(d.blocks.size());
    d.hidden_size = d.embedding.width;
  }
  const Model& model() const { return model_; }

 private:
  static std::string text(const Json& json, const char* key) { return json.find(key)->as_string(key); }
  static int64_t number(const Json& json, const char* key) { return json.find(key)->as_int(key); }

  NormSpec norm(const Json& json) const {
    NormSpec spec;
    spec.name = text(json, "name");
    const std::string kind = text(json, "kind");
    spec.kind = kind == "layer_norm" ? NormKind::kLayerNorm
                : kind == "rms_norm" ? NormKind::kRmsNorm
                                     : NormKind::kAffine;
    spec.width = model_.tensors.at(spec.name + ".weight").shape[0];
    spec.epsilon = static_cast<float>(json.find("epsilon")->as_double("epsilon"));
    spec.bias = model_.tensors.find(spec.name + ".bias") != nullptr;
    return spec;
  }
  LinearSpec linear(const Json& json, const char* key) const {
    const std::string name = text(json, key);
    const Shape& shape = model_.tensors.at(name + ".weight").shape;
    return {name, shape[1], shape[0], model_.tensors.find(name + ".bias") != nullptr};
  }
  static Activation activation(const Json& json) {
    const std::string name = text(json, "activation");
    return name == "relu"   ? Activation::kRelu
           : name == "silu" ? Activation::kSilu
           : name == "tanh" ? Activation::kTanh
           : name == "gelu" ? Activation::kGelu
                            : Activation::kNone;
  }
  void add_block(const Json& json) {
    Block block;
    const std::string kind = text(json, "kind"), place = text(json, "norm_place");
    block.name = "block." + std::to_string(model_.description.blocks.size());
    block.layer = static_cast<int>(number(json, "layer"));
    block.input = static_cast<int>(number(json, "input"));
    block.residual = static_cast<int>(number(json, "residual"));
    block.norm_place = place == "post"  ? NormPlace::kPost
                       : place == "pre" ? NormPlace::kPre
                                        : NormPlace::kNone;
    const NormSpec block_norm = norm(*json.find("norm"));
    if (block.norm_place != NormPlace::kNone) block.norm = block_norm;
    if (kind == "attention") {
      AttentionSpec spec;
      spec.query = linear(json, "query");
      spec.key = linear(json, "key");
      spec.value = linear(json, "value");
      spec.output = linear(json, "output");
      spec.num_heads = number(json, "num_heads");
      spec.head_dim = spec.query.out / spec.num_heads;
      spec.scale = attention_scale(spec.head_dim);
      spec.query_key_input = static_cast<int>(number(json, "query_key_input"));
      block.part = spec;
    } else if (kind == "feed_forward") {
      FeedForwardSpec spec;
      spec.up = linear(json, "up");
      spec.down = linear(json, "down");
      spec.activation = activation(json);
      spec.gated = json.contains("gate");
      if (spec.gated) spec.gate = linear(json, "gate");
      block.part = spec;
    } else if (kind == "bottleneck") {
      block.part = BottleneckSpec{linear(json, "linear"), activation(json)};
    } else {
      block.part = block_norm;
    }
    model_.description.blocks.push_back(block);
  }

  const Json& json_;
  Model model_;
};

TEST(Engine, BlockListAgreesWithTheNumPyOracle) {
  const std::string path = std::string(PENJING_SOURCE_DIR) + "/tests/data/tiny_blocks.json";
  const Json json = Json::parse(read_text_file(path, 4 << 20), path);
  const OracleModel oracle(json);
  RaggedBatch batch;
  std::vector<double> want;
  for (const Json& one : json.find("cases")->as_array("cases")) {
    std::vector<int32_t> ids, types;
    for (const Json& id : one.find("ids")->as_array("ids"))
      ids.push_back(static_cast<int32_t>(id.as_int("id")));
    for (const Json& id : one.find("token_types")->as_array("token_types")) {
      types.push_back(static_cast<int32_t>(id.as_int("type")));
    }
    batch.append(ids, types);
    const std::vector<std::byte> bytes = decode_base64(one.find("hidden")->as_string("hidden"));
    want.resize(want.size() + bytes.size() / 8);
    std::memcpy(want.data() + want.size() - bytes.size() / 8, bytes.data(), bytes.size());
  }
  const Prediction got = run_hidden(oracle.model(), batch);
  ASSERT_EQ(got.values.size(), want.size());
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) worst = std::max(worst, std::abs(got.values[i] - want[i]));
  EXPECT_LT(worst, 2e-5);
}

}  // namespace
}  // namespace penjing
