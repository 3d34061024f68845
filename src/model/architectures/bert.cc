// BERT (Devlin et al. 2018) as Hugging Face stores it: post-norm, learned positions, token types, tanh
// pooler.
#include "base/error.h"
#include "model/architectures.h"

namespace penjing {

namespace {

void add_heads(Description& d, const Json& config, const TensorMap& tensors, Activation activation,
               float epsilon) {
  const int64_t hidden = d.hidden_size;
  if (tensors.find("pooler.dense.weight") != nullptr) {
    HeadSpec pooler;
    pooler.kind = HeadKind::kPooler;
    pooler.has_dense = true;
    pooler.dense = {"pooler.dense", hidden, hidden, true};
    pooler.activation = Activation::kTanh;
    d.heads.push_back(pooler);
  }
  const bool has_classifier = tensors.find("classifier.weight") != nullptr;
  if (announces(config, "ForTokenClassification")) {
    HeadSpec head;
    head.kind = HeadKind::kTokenClassifier;
    head.has_projection = true;
    head.projection = {"classifier", hidden, count_labels(config, tensors, "classifier.weight"), true};
    d.heads.push_back(head);
  } else if (has_classifier || announces(config, "ForSequenceClassification")) {
    // The classifier reads the pooler's output.
    HeadSpec head;
    head.kind = HeadKind::kSequenceClassifier;
    head.has_dense = true;
    head.dense = {"pooler.dense", hidden, hidden, true};
    head.activation = Activation::kTanh;
    head.has_projection = true;
    head.projection = {"classifier", hidden, count_labels(config, tensors, "classifier.weight"), true};
    d.heads.push_back(head);
  }
  if (tensors.find("cls.predictions.transform.dense.weight") != nullptr || announces(config, "ForMaskedLM") ||
      announces(config, "ForPreTraining")) {
    HeadSpec head;
    head.kind = HeadKind::kMaskedLm;
    head.has_dense = true;
    head.dense = {"cls.predictions.transform.dense", hidden, hidden, true};
    head.activation = activation;
    head.has_norm = true;
    head.norm = {"cls.predictions.transform.LayerNorm", NormKind::kLayerNorm, hidden, epsilon, true};
    head.has_projection = true;
    head.tied_to_word_embeddings = tensors.find("cls.predictions.decoder.weight") == nullptr;
    head.projection = {"cls.predictions.decoder", hidden, d.embedding.vocab_size, true};
    head.projection_bias = "cls.predictions.bias";
    d.heads.push_back(head);
  }
  if (tensors.find("qa_outputs.weight") != nullptr || announces(config, "ForQuestionAnswering")) {
    HeadSpec head;
    head.kind = HeadKind::kQuestionAnswering;
    head.has_projection = true;
    head.projection = {"qa_outputs", hidden, 2, true};
    d.heads.push_back(head);
  }
}

Description describe_bert(const Json& config, const TensorMap& tensors) {
  const std::string positions = config_string_or(config, "position_embedding_type", "absolute");
  if (positions != "absolute") {
    fail(ErrorKind::kUnsupported, "config.json: position_embedding_type is \"{}\"; supported: absolute",
         positions);
  }
  if (config_bool_or(config, "is_decoder", false) || config_bool_or(config, "add_cross_attention", false)) {
    fail(ErrorKind::kUnsupported,
         "config.json: is_decoder or add_cross_attention is true; only encoders are supported");
  }
  const int64_t hidden = config_int(config, "hidden_size", 1, kMaxWidth);
  const int64_t num_heads = config_int(config, "num_attention_heads", 1, kMaxWidth);
  if (hidden % num_heads != 0) {
    fail(ErrorKind::kFormat, "config.json: hidden_size {} is not a multiple of num_attention_heads {}",
         hidden, num_heads);
  }
  const int64_t head_dim = hidden / num_heads;
  const int64_t intermediate = config_int(config, "intermediate_size", 1, kMaxWidth);
  const auto epsilon = static_cast<float>(config_double_or(config, "layer_norm_eps", 1e-12, 0, 1));
  const Activation activation = config_activation(config, "hidden_act", "gelu");

  Description d;
  d.family = "bert";
  d.hidden_size = hidden;
  d.num_layers = config_int(config, "num_hidden_layers", 0, kMaxLayers);
  d.max_positions = config_int(config, "max_position_embeddings", 1, kMaxPositions);
  d.embedding.word = "embeddings.word_embeddings";
  d.embedding.vocab_size = config_int(config, "vocab_size", 1, kMaxVocab);
  d.embedding.width = hidden;
  d.embedding.token_type = "embeddings.token_type_embeddings";
  d.embedding.type_vocab_size = config_int_or(config, "type_vocab_size", 2, 1, kMaxWidth);
  d.embedding.position.name = "embeddings.position_embeddings";
  d.embedding.position.count = d.max_positions;
  d.embedding.norm = {"embeddings.LayerNorm", NormKind::kLayerNorm, hidden, epsilon, true};

  int value = 0;
  for (int layer = 0; layer < d.num_layers; ++layer) {
    const LayerWidths widths = layer_widths(config, layer, d.num_layers, {num_heads, intermediate});
    const std::string base = fmt::format("encoder.layer.{}.", layer);
    if (widths.num_heads > 0) {
      const int64_t inner = widths.num_heads * head_dim;
      AttentionSpec attention;
      attention.query = {base + "attention.self.query", hidden, inner, true};
      attention.key = {base + "attention.self.key", hidden, inner, true};
      attention.value = {base + "attention.self.value", hidden, inner, true};
      attention.output = {base + "attention.output.dense", inner, hidden, true};
      attention.num_heads = widths.num_heads;
      attention.head_dim = head_dim;
      attention.scale = attention_scale(head_dim);
      d.blocks.push_back({base + "attention",
                          layer,
                          value,
                          value,
                          NormPlace::kPost,
                          {base + "attention.output.LayerNorm", NormKind::kLayerNorm, hidden, epsilon, true},
                          attention});
      value = static_cast<int>(d.blocks.size());
    }
    if (widths.intermediate_size > 0) {
      FeedForwardSpec feed_forward;
      feed_forward.up = {base + "intermediate.dense", hidden, widths.intermediate_size, true};
      feed_forward.down = {base + "output.dense", widths.intermediate_size, hidden, true};
      feed_forward.activation = activation;
      d.blocks.push_back({base + "output",
                          layer,
                          value,
                          value,
                          NormPlace::kPost,
                          {base + "output.LayerNorm", NormKind::kLayerNorm, hidden, epsilon, true},
                          feed_forward});
      value = static_cast<int>(d.blocks.size());
    }
  }
  d.output = value;
  add_heads(d, config, tensors, activation, epsilon);
  return d;
}

}  // namespace

extern const Architecture bert_architecture;
const Architecture bert_architecture = {
    "bert",
    "bert.",
    {"embeddings", "encoder", "pooler"},
    describe_bert,
    {"encoder.layer.", "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"},
    {},
    "Bert"};

}  // namespace penjing
