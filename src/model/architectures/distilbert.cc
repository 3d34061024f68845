// DistilBERT (Sanh et al. 2019): BERT's layers under other names, no token types, no pooler.
#include "model/architecture_heads.h"
#include "model/architectures.h"
#include "model/post_norm_layers.h"

namespace penjing {

namespace {

constexpr float kEpsilon = 1e-12f;  // fixed in the reference implementation

void add_heads(Description& d, const Json& config, const TensorMap& tensors, Activation activation) {
  const int64_t hidden = d.hidden_size;
  if (announces(config, "ForTokenClassification")) {
    d.heads.push_back(token_classifier(config, tensors, hidden));
  } else if (tensors.find("pre_classifier.weight") != nullptr ||
             announces(config, "ForSequenceClassification")) {
    d.heads.push_back(
        sequence_classifier(config, tensors, hidden, "pre_classifier", Activation::kRelu, "classifier"));
  }
  if (tensors.find("vocab_transform.weight") != nullptr || announces(config, "ForMaskedLM")) {
    d.heads.push_back(
        masked_lm_head({"vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias"},
                       tensors, hidden, hidden, d.embedding.vocab_size, activation, kEpsilon));
  }
  add_question_answering(config, tensors, d);
}

Description describe_distilbert(const Json& config, const TensorMap& tensors) {
  const int64_t hidden = config_int(config, "dim", 1, kMaxWidth);
  const PostNormLayers layers = {
      .prefix = "transformer.layer.",
      .query = "attention.q_lin",
      .key = "attention.k_lin",
      .value = "attention.v_lin",
      .output = "attention.out_lin",
      .attention_norm = "sa_layer_norm",
      .up = "ffn.lin1",
      .down = "ffn.lin2",
      .feed_forward_norm = "output_layer_norm",
      .feed_forward = "ffn",
      .num_heads = config_heads(config, "n_heads", "dim"),
      .intermediate = config_int(config, "hidden_dim", 1, kMaxWidth),
      .epsilon = kEpsilon,
      .activation = config_activation(config, "activation", "gelu"),
  };

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

  add_post_norm_layers(config, layers, d);
  add_heads(d, config, tensors, layers.activation);
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
