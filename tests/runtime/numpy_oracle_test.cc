// A block list that no family of today has (a bottleneck, queries and keys that read another value, a
// residual from two blocks ago, affine and RMS norms, pre-norm, a gated feed-forward) against the NumPy
// float64 oracle of tools/oracles/numpy_encoder.py: the seam for new families, shown on numbers from outside
// C++.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/thread_pool.h"
#include "runtime/engine.h"

namespace penjing {
namespace {

constexpr const char* kFile = PENJING_SOURCE_DIR "/tests/data/tiny_blocks.json";

template <typename T>
std::vector<T> decode_base64(const std::string& text) {
  std::array<int, 256> digit;
  digit.fill(-1);
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    digit[static_cast<unsigned char>(alphabet[i])] = static_cast<int>(i);
  }
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = digit[static_cast<unsigned char>(c)];
    if (value < 0) continue;  // padding
    bits = bits << 6 | static_cast<uint32_t>(value);
    if ((count += 6) >= 8) bytes.push_back(static_cast<char>(bits >> (count -= 8) & 255));
  }
  std::vector<T> out(bytes.size() / sizeof(T));
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(T));
  return out;
}

struct Source {
  const Json& json;
  const TensorMap& tensors;

  std::string name(const Json& from, std::string_view key) const {
    return from.find(key)->as_string(std::string(key));
  }
  int64_t number(const Json& from, std::string_view key) const {
    return from.find(key)->as_int(std::string(key));
  }
  LinearSpec linear(const Json& from, std::string_view key) const {
    const std::string base = name(from, key);
    const Shape& shape = tensors.at(base + ".weight").shape;
    return {base, shape[1], shape[0], tensors.find(base + ".bias") != nullptr};
  }
  NormSpec norm(const Json& from) const {
    const Json& spec = *from.find("norm");
    const std::string base = name(spec, "name"), kind = name(spec, "kind");
    return {base,
            kind == "affine"     ? NormKind::kAffine
            : kind == "rms_norm" ? NormKind::kRmsNorm
                                 : NormKind::kLayerNorm,
            tensors.at(base + ".weight").shape[0],
            static_cast<float>(spec.find("epsilon")->as_double("epsilon")),
            tensors.find(base + ".bias") != nullptr};
  }
  Activation activation(const Json& from) const {
    const std::string text = name(from, "activation");
    return text == "relu"   ? Activation::kRelu
           : text == "tanh" ? Activation::kTanh
           : text == "silu" ? Activation::kSilu
           : text == "gelu" ? Activation::kGelu
                            : Activation::kNone;
  }
  Block block(const Json& from) const {
    Block out;
    out.layer = static_cast<int>(number(from, "layer"));
    out.input = static_cast<int>(number(from, "input"));
    out.residual = static_cast<int>(number(from, "residual"));
    const std::string place = name(from, "norm_place"), kind = name(from, "kind");
    out.norm_place = place == "pre" ? NormPlace::kPre : place == "post" ? NormPlace::kPost : NormPlace::kNone;
    out.norm = norm(from);
    out.name = out.norm.name.substr(0, out.norm.name.rfind('.'));
    if (kind == "attention") {
      AttentionSpec part;
      part.query = linear(from, "query");
      part.key = linear(from, "key");
      part.value = linear(from, "value");
      part.output = linear(from, "output");
      part.num_heads = number(from, "num_heads");
      part.head_dim = part.query.out / part.num_heads;
      part.query_key_input = static_cast<int>(number(from, "query_key_input"));
      part.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(part.head_dim)));
      out.part = part;
    } else if (kind == "feed_forward") {
      FeedForwardSpec part;
      part.up = linear(from, "up");
      part.down = linear(from, "down");
      part.activation = activation(from);
      part.gated = from.contains("gate");
      if (part.gated) part.gate = linear(from, "gate");
      out.part = part;
    } else if (kind == "bottleneck") {
      out.part = BottleneckSpec{linear(from, "linear"), activation(from)};
    } else {
      out.part = out.norm;
    }
    return out;
  }
};

Model read_tiny(const Json& json) {
  Model model;
  for (const auto& [name, value] : json.find("tensors")->as_object("tensors")) {
    Shape shape;
    for (const Json& size : value.find("shape")->as_array("shape")) shape.push_back(size.as_int("shape"));
    const auto floats = decode_base64<float>(value.find("data")->as_string("data"));
    model.tensors.set(name, Tensor::from_floats(shape, floats));
  }
  const Source source{json, model.tensors};
  const Json& embedding = *json.find("embedding");
  Description& d = model.description;
  d.family = "tiny";
  d.embedding.word = source.name(embedding, "word");
  d.embedding.vocab_size = source.number(embedding, "vocab_size");
  d.embedding.width = source.number(embedding, "width");
  d.embedding.token_type = source.name(embedding, "token_type");
  d.embedding.type_vocab_size = 2;
  d.embedding.position.name = source.name(embedding, "position");
  d.embedding.position.count = d.max_positions = source.number(embedding, "max_positions");
  d.embedding.norm = source.norm(embedding);
  for (const Json& block : json.find("blocks")->as_array("blocks")) d.blocks.push_back(source.block(block));
  d.output = static_cast<int>(d.blocks.size());
  d.hidden_size = d.embedding.width;
  d.num_layers = 2;
  return model;
}

TEST(NumpyOracle, BottleneckBlocksAgree) {
  std::ifstream file(kFile);
  ASSERT_TRUE(file) << kFile;
  std::stringstream text;
  text << file.rdbuf();
  const Json json = Json::parse(text.str(), "tiny_blocks.json");
  const Model model = read_tiny(json);
  const auto engine = Engine::build(model);
  RaggedBatch batch;
  std::vector<double> wanted;
  for (const Json& entry : json.find("cases")->as_array("cases")) {
    std::vector<int32_t> ids, types;
    for (const Json& id : entry.find("ids")->as_array("ids")) {
      ids.push_back(static_cast<int32_t>(id.as_int("ids")));
    }
    for (const Json& type : entry.find("token_types")->as_array("token_types")) {
      types.push_back(static_cast<int32_t>(type.as_int("token_types")));
    }
    batch.append(ids, types);
    for (const double value : decode_base64<double>(entry.find("hidden")->as_string("hidden"))) {
      wanted.push_back(value);
    }
  }
  for (const int threads : {1, 3}) {
    auto session = engine->new_session(std::make_shared<ThreadPool>(threads));
    const Prediction found = session->predict(batch, Request{});
    ASSERT_EQ(found.values.size(), wanted.size());
    double worst = 0, largest = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      worst = std::max(worst, std::abs(found.values[i] - wanted[i]));
      largest = std::max(largest, std::abs(wanted[i]));
    }
    // Seven blocks of sums of at most 26 terms; float32 gives about 2e-6, a wrong formula 1e-2.
    EXPECT_LE(worst, 2e-5) << "largest value " << largest;
    RecordProperty("worst", std::to_string(worst));
  }
}

}  // namespace
}  // namespace penjing
