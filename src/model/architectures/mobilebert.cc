// MobileBERT (Sun et al. 2020) as Hugging Face stores it. Words are embedded narrowly and projected together
// with their neighbours; every layer narrows its input (bottleneck), attends and feeds forward several times
// there, and widens the result. Norms are NoNorm (x * weight + bias) in the student. Its teacher, BERT with
// inverted bottlenecks, is the same with other numbers: wider inside, LayerNorm, one feed-forward.
//
//   low = norm(narrow(x)); shared = norm(narrow'(x))
//   a = norm(attention(query, key of `shared`; value of x) + low)
//   a = norm(ffn.k(a) + a) for each k; a = norm(ffn(a) + a);   y = norm(widen(a) + x)
//
// With use_bottleneck_attention all of attention reads `low`; without use_bottleneck everything is as wide as
// x and the last feed-forward ends the layer.
#include "base/error.h"
#include "model/architecture_heads.h"
#include "model/architectures.h"

namespace penjing {

namespace {

// torch.nn.LayerNorm's, which transformers leaves to these two: the embedding's, and behind the last
// feed-forward.
constexpr float kUnnamedEpsilon = 1e-5f;

// What config.json says beyond BERT; defaults are MobileBertConfig's.
struct MobileBertConfig {
  int64_t hidden = 0, embedding = 0, inner = 0, num_heads = 0, intermediate = 0, num_feed_forwards = 0;
  bool has_bottleneck = true, attends_in_bottleneck = false, shares_query_key = true, activates_pooler = true;
  NormKind norm = NormKind::kAffine;
  Activation activation = Activation::kRelu;
  float epsilon = 0;

  int64_t head_dim() const { return inner / num_heads; }
  NormSpec make_norm(const std::string& name, int64_t width) const {
    return {name, norm, width, epsilon, true};
  }
};

MobileBertConfig read_config(const Json& config) {
  MobileBertConfig c;
  c.hidden = config_int(config, "hidden_size", 1, kMaxWidth);
  c.embedding = config_int_or(config, "embedding_size", 128, 1, kMaxWidth);
  c.has_bottleneck = config_bool_or(config, "use_bottleneck", true);
  c.inner = c.has_bottleneck ? config_int_or(config, "intra_bottleneck_size", 128, 1, kMaxWidth) : c.hidden;
  c.num_heads = config_int(config, "num_attention_heads", 1, kMaxWidth);
  if (c.inner % c.num_heads != 0) {
    fail(ErrorKind::kFormat, "config.json: {} {} is not a multiple of num_attention_heads {}",
         c.has_bottleneck ? "intra_bottleneck_size" : "hidden_size", c.inner, c.num_heads);
  }
  c.intermediate = config_int(config, "intermediate_size", 1, kMaxWidth);
  c.num_feed_forwards = config_int_or(config, "num_feedforward_networks", 4, 1, kMaxLayers);
  c.attends_in_bottleneck = config_bool_or(config, "use_bottleneck_attention", false);
  c.shares_query_key = config_bool_or(config, "key_query_shared_bottleneck", true);
  if (c.has_bottleneck && !c.attends_in_bottleneck && !c.shares_query_key && c.inner != c.hidden) {
    fail(ErrorKind::kUnsupported,
         "config.json: use_bottleneck_attention and key_query_shared_bottleneck are false with "
         "intra_bottleneck_size {} and hidden_size {}; queries and keys of that width cannot read the hidden "
         "states, in transformers neither",
         c.inner, c.hidden);
  }
  c.activates_pooler = config_bool_or(config, "classifier_activation", true);
  const std::string norm = config_string_or(config, "normalization_type", "no_norm");
  if (norm != "no_norm" && norm != "layer_norm") {
    fail(ErrorKind::kUnsupported, "config.json: normalization_type is \"{}\"; supported: no_norm, layer_norm",
         norm);
  }
  c.norm = norm == "no_norm" ? NormKind::kAffine : NormKind::kLayerNorm;
  c.activation = config_activation(config, "hidden_act", "relu");
  c.epsilon = static_cast<float>(config_double_or(config, "layer_norm_eps", 1e-12, 0, 1));
  return c;
}

void describe_embedding(const Json& config, const MobileBertConfig& c, Description& d) {
  EmbeddingSpec& e = d.embedding;
  e.word = "embeddings.word_embeddings";
  e.vocab_size = config_int(config, "vocab_size", 1, kMaxVocab);
  e.width = c.embedding;
  e.trigram = config_bool_or(config, "trigram_input", true);
  // Else the layer is stored and not used.
  e.has_projection = e.projects_words = e.trigram || c.embedding != c.hidden;
  e.projection = {"embeddings.embedding_transformation", e.word_width(), c.hidden, true};
  e.token_type = "embeddings.token_type_embeddings";
  e.type_vocab_size = config_int_or(config, "type_vocab_size", 2, 1, kMaxWidth);
  e.position.name = "embeddings.position_embeddings";
  e.position.count = d.max_positions;
  e.norm = c.make_norm("embeddings.LayerNorm", c.hidden);
  e.norm.epsilon = kUnnamedEpsilon;
}

class LayerWriter {
 public:
  LayerWriter(const MobileBertConfig& config, int layer, int value, Description& d)
      : c_(config),
        layer_(layer),
        base_(fmt::format("encoder.layer.{}.", layer)),
        value_(value),
        input_(value),
        d_(d) {}

  // The number of the layer's result.
  int write(const LayerWidths& widths) {
    const int shared = write_bottlenecks(widths);
    if (widths.num_heads > 0) write_attention(widths.num_heads, shared);
    if (widths.intermediate_size > 0) {
      for (int64_t i = 0; i + 1 < c_.num_feed_forwards; ++i) {
        write_feed_forward(fmt::format("ffn.{}.", i), widths.intermediate_size);
        d_.blocks.back().has_dropout = false;
      }
      write_feed_forward("", widths.intermediate_size);
      d_.blocks.back().norm.epsilon = kUnnamedEpsilon;
      d_.blocks.back().has_dropout = !c_.has_bottleneck;
    }
    if (c_.has_bottleneck) {
      const std::string name = "output.bottleneck";
      const LinearSpec widen = {base_ + name + ".dense", c_.inner, c_.hidden, true};
      add({.name = base_ + name,
           .input = value_,
           .residual = input_,
           .norm = c_.make_norm(base_ + name + ".LayerNorm", c_.hidden),
           .part = BottleneckSpec{widen, Activation::kNone}});
    }
    return value_;
  }

 private:
  void add(Block block) {
    block.layer = layer_;
    d_.blocks.push_back(std::move(block));
    value_ = static_cast<int>(d_.blocks.size());
  }

  void narrow(const std::string& name) {
    add({.name = base_ + name,
         .input = input_,
         .norm = c_.make_norm(base_ + name + ".LayerNorm", c_.inner),
         .part = BottleneckSpec{{base_ + name + ".dense", c_.hidden, c_.inner, true}, Activation::kNone},
         .has_dropout = false});
  }

  // The value that queries and keys read, where it is not attention's own input; the current value is what
  // attention adds to.
  int write_bottlenecks(const LayerWidths& widths) {
    if (!c_.has_bottleneck) return kNoValue;
    const bool shares = !c_.attends_in_bottleneck && c_.shares_query_key && widths.num_heads > 0;
    if (shares) narrow("bottleneck.attention");
    const int shared = shares ? value_ : kNoValue;
    narrow("bottleneck.input");
    return shared;
  }

  void write_attention(int64_t num_heads, int shared) {
    const int64_t inner = num_heads * c_.head_dim();
    const int residual = value_;
    AttentionSpec attention;
    attention.query = {base_ + "attention.self.query", c_.inner, inner, true};
    attention.key = {base_ + "attention.self.key", c_.inner, inner, true};
    attention.value = {base_ + "attention.self.value", c_.attends_in_bottleneck ? c_.inner : c_.hidden, inner,
                       true};
    attention.output = {base_ + "attention.output.dense", inner, c_.inner, true};
    attention.num_heads = num_heads;
    attention.head_dim = c_.head_dim();
    attention.scale = attention_scale(c_.head_dim());
    attention.query_key_input = shared;
    add({.name = base_ + "attention",
         .input = c_.attends_in_bottleneck ? residual : input_,
         .residual = residual,
         .norm = c_.make_norm(base_ + "attention.output.LayerNorm", c_.inner),
         .part = attention,
         .has_dropout = !c_.has_bottleneck});
  }

  void write_feed_forward(const std::string& place, int64_t intermediate) {
    FeedForwardSpec feed_forward;
    feed_forward.up = {base_ + place + "intermediate.dense", c_.inner, intermediate, true};
    feed_forward.down = {base_ + place + "output.dense", intermediate, c_.inner, true};
    feed_forward.activation = c_.activation;
    add({.name = base_ + place + "output",
         .input = value_,
         .residual = value_,
         .norm = c_.make_norm(base_ + place + "output.LayerNorm", c_.inner),
         .part = feed_forward});
  }

  const MobileBertConfig& c_;
  const int layer_;
  const std::string base_;
  int value_;
  const int input_;
  Description& d_;
};

void add_heads(Description& d, const Json& config, const MobileBertConfig& c, const TensorMap& tensors) {
  const int64_t hidden = d.hidden_size;
  // Without classifier_activation the pooler gives the first token as it is, and has no weights that could
  // say whether it is there.
  const bool without = announces(config, "ForMaskedLM") || announces(config, "ForTokenClassification") ||
                       announces(config, "ForQuestionAnswering");
  HeadSpec pooler;
  pooler.kind = HeadKind::kPooler;
  pooler.has_dense = c.activates_pooler;
  if (c.activates_pooler) pooler.dense = {"pooler.dense", hidden, hidden, true};
  pooler.activation = c.activates_pooler ? Activation::kTanh : Activation::kNone;
  if (c.activates_pooler ? tensors.find("pooler.dense.weight") != nullptr : !without)
    d.heads.push_back(pooler);
  if (announces(config, "ForTokenClassification")) {
    d.heads.push_back(token_classifier(config, tensors, hidden));
  } else if (tensors.find("classifier.weight") != nullptr || announces(config, "ForSequenceClassification")) {
    HeadSpec head = pooler;  // the classifier reads the pooler's output
    head.kind = HeadKind::kSequenceClassifier;
    head.has_projection = true;
    head.projection = {"classifier", hidden, count_labels(config, tensors, "classifier.weight"), true};
    d.heads.push_back(head);
  }
  if (tensors.find("cls.predictions.transform.dense.weight") != nullptr || announces(config, "ForMaskedLM") ||
      announces(config, "ForPreTraining")) {
    if (c.embedding > hidden) {
      fail(ErrorKind::kUnsupported,
           "config.json: embedding_size {} with hidden_size {}; a masked-LM head wants it to be no larger",
           c.embedding, hidden);
    }
    HeadSpec head = masked_lm_head(kBertMaskedLm, tensors, hidden, hidden, d.embedding.vocab_size,
                                   c.activation, c.epsilon);
    if (c.embedding < hidden) head.projection_rest = "cls.predictions.dense.weight";
    d.heads.push_back(head);
  }
  add_question_answering(config, tensors, d);
}

Description describe_mobilebert(const Json& config, const TensorMap& tensors) {
  const MobileBertConfig c = read_config(config);
  Description d;
  d.family = "mobilebert";
  d.hidden_size = c.hidden;
  d.num_layers = config_int(config, "num_hidden_layers", 0, kMaxLayers);
  d.max_positions = config_int(config, "max_position_embeddings", 1, kMaxPositions);
  describe_embedding(config, c, d);
  int value = 0;
  for (int layer = 0; layer < d.num_layers; ++layer) {
    const LayerWidths widths = layer_widths(config, layer, d.num_layers, {c.num_heads, c.intermediate});
    value = LayerWriter(c, layer, value, d).write(widths);
  }
  d.output = value;
  add_heads(d, config, c, tensors);
  return d;
}

}  // namespace

extern const Architecture mobilebert_architecture;
const Architecture mobilebert_architecture = {
    "mobilebert",
    "mobilebert.",
    {"embeddings", "encoder", "pooler"},
    describe_mobilebert,
    {"encoder.layer.", "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"},
    {},
    "MobileBert"};

}  // namespace penjing
