// DistilBERT (Sanh et al. 2019): BERT's layers under other names, no token types, no pooler.
#include "base/error.h"
#include "model/architectures.h"

namespace penjing {

namespace {

void add_heads(Description& d, const Json& config, const TensorMap& tensors, Activation activation) {
  const int64_t hidden = d.hidden_size;
  if (announces(config, "ForTokenClassification")) {
    HeadSpec head;
    head.kind = HeadKind::kTokenClassifier;
    head.has_projection = true;
    head.projection = {"classifier", hidden, count_labels(config, tensors, "classifier.weight"), true};
    d.heads.push_back(head);
  } else if (tensors.find("pre_classifier.weight") != nullptr ||
             announces(config, "ForSequenceClassification")) {
    HeadSpec head;
    head.kind = HeadKind::kSequenceClassifier;
    head.has_dense = true;
    head.dense = {"pre_classifier", hidden, hidden, true};
    head.activation = Activation::kRelu;
    head.has_projection = true;
    head.projection = {"classifier", hidden, count_labels(config, tensors, "classifier.weight"), true};
    d.heads.push_back(head);
  }
  if (tensors.find("vocab_transform.weight") != nullptr || announces(config, "ForMaskedLM")) {
    HeadSpec head;
    head.kind = HeadKind::kMaskedLm;
    head.has_dense = true;
    head.dense = {"vocab_transform", hidden, hidden, true};
    head.activation = activation;
    head.has_norm = true;
    head.norm = {"vocab_layer_norm", NormKind::kLayerNorm, hidden, 1e-12f, true};
    head.has_projection = true;
    head.tied_to_word_embeddings = tensors.find("vocab_projector.weight") == nullptr;
    head.projection = {"vocab_projector", hidden, d.embedding.vocab_size, true};
    head.projection_bias = "vocab_projector.bias";
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

Description describe_distilbert(const Json& config, const TensorMap& tensors) {
  const int64_t hidden = config_int(config, "dim", 1, kMaxWidth);
  const int64_t num_heads = config_int(config, "n_heads", 1, kMaxWidth);
  if (hidden % num_heads != 0) {
    fail(ErrorKind::kFormat, "config.json: dim {} is not a multiple of n_heads {}", hidden, num_heads);
  }
  const int64_t head_dim = hidden / num_heads;
  const int64_t intermediate = config_int(config, "hidden_dim", 1, kMaxWidth);
  const Activation activation = config_activation(config, "activation", "gelu");
  constexpr float kEpsilon = 1e-12f;  // fixed in the reference implementation

  Description d;
  d.family = "distilbert";
  d.hidden_size = hidden;
  d.num_layers = config_int(config, "n_layers", 0, kMaxLayers);
  d.max_positions = config_int(config, "max_position_embeddings", 1, kMaxPositions);
  d.embedding.word = "embeddings.word_embeddings";
  d.embedding.vocab_size = config_int(config, "vocab_size", 1, kMaxVocab);
  d.embedding.width = hidden;
  d.embedding.position.name = "embeddings.position_embeddings";
  d.embedding.position.count = d.max_positions;
  d.embedding.norm = {"embeddings.LayerNorm", NormKind::kLayerNorm, hidden, kEpsilon, true};

  int value = 0;
  for (int layer = 0; layer < d.num_layers; ++layer) {
    const LayerWidths widths = layer_widths(config, layer, d.num_layers, {num_heads, intermediate});
    const std::string base = fmt::format("transformer.layer.{}.", layer);
    if (widths.num_heads > 0) {
      const int64_t inner = widths.num_heads * head_dim;
      AttentionSpec attention;
      attention.query = {base + "attention.q_lin", hidden, inner, true};
      attention.key = {base + "attention.k_lin", hidden, inner, true};
      attention.value = {base + "attention.v_lin", hidden, inner, true};
      attention.output = {base + "attention.out_lin", inner, hidden, true};
      attention.num_heads = widths.num_heads;
      attention.head_dim = head_dim;
      attention.scale = attention_scale(head_dim);
      d.blocks.push_back({base + "attention",
                          layer,
                          value,
                          value,
                          NormPlace::kPost,
                          {base + "sa_layer_norm", NormKind::kLayerNorm, hidden, kEpsilon, true},
                          attention});
      value = static_cast<int>(d.blocks.size());
    }
    if (widths.intermediate_size > 0) {
      FeedForwardSpec feed_forward;
      feed_forward.up = {base + "ffn.lin1", hidden, widths.intermediate_size, true};
      feed_forward.down = {base + "ffn.lin2", widths.intermediate_size, hidden, true};
      feed_forward.activation = activation;
      d.blocks.push_back({base + "ffn",
                          layer,
                          value,
                          value,
                          NormPlace::kPost,
                          {base + "output_layer_norm", NormKind::kLayerNorm, hidden, kEpsilon, true},
                          feed_forward});
      value = static_cast<int>(d.blocks.size());
    }
  }
  d.output = value;
  add_heads(d, config, tensors, activation);
  return d;
}

}  // namespace

extern const Architecture distilbert_architecture;
const Architecture distilbert_architecture = {
    "distilbert",
    "distilbert.",
    {"embeddings", "transformer"},
    describe_distilbert,
    {"transformer.layer.", "n_layers", "dim", "n_heads", "hidden_dim"},
    {},
    "DistilBert"};

}  // namespace penjing
