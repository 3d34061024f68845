// MPNet (Song et al. 2020) as Hugging Face stores it: BERT's post-norm layers, positions learned from row
// padding_idx + 1 on, no token types, and one table of relative positions (T5's buckets, a column a head)
// that every layer adds to its attention scores.
#include "base/error.h"
#include "model/architecture_heads.h"
#include "model/architectures.h"
#include "model/post_norm_layers.h"

namespace penjing {

namespace {

// Both fixed in the reference implementation, whatever config.json says of buckets.
constexpr int64_t kBuckets = 32, kMaxDistance = 128;
constexpr int64_t kPaddingRow = 1;

void add_heads(Description& d, const Json& config, const TensorMap& tensors, float epsilon) {
  const int64_t hidden = d.hidden_size;
  if (tensors.find("pooler.dense.weight") != nullptr) {
    HeadSpec pooler;
    pooler.kind = HeadKind::kPooler;
    pooler.has_dense = true;
    pooler.dense = {"pooler.dense", hidden, hidden, true};
    pooler.activation = Activation::kTanh;
    d.heads.push_back(pooler);
  }
  if (announces(config, "ForTokenClassification")) {
    d.heads.push_back(token_classifier(config, tensors, hidden));
  } else if (tensors.find("classifier.out_proj.weight") != nullptr ||
             announces(config, "ForSequenceClassification")) {
    // Reads the first token itself, not the pooler's output.
    d.heads.push_back(sequence_classifier(config, tensors, hidden, "classifier.dense", Activation::kTanh,
                                          "classifier.out_proj"));
  }
  // Sentence encoders go on announcing the masked LM that they began as; its class has no pooler.
  const bool announced = announces(config, "ForMaskedLM") && tensors.find("pooler.dense.weight") == nullptr;
  if (tensors.find("lm_head.dense.weight") != nullptr || announced) {
    // GELU, whatever hidden_act says.
    d.heads.push_back(
        masked_lm_head({"lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"}, tensors,
                       hidden, hidden, d.embedding.vocab_size, Activation::kGelu, epsilon));
  }
  add_question_answering(config, tensors, d);
}

Description describe_mpnet(const Json& config, const TensorMap& tensors) {
  const int64_t hidden = config_int(config, "hidden_size", 1, kMaxWidth);
  const int64_t num_heads = config_heads(config, "num_attention_heads", "hidden_size");
  const int64_t buckets = config_int_or(config, "relative_attention_num_buckets", kBuckets, 1, kMaxWidth);
  if (buckets != kBuckets) {
    fail(ErrorKind::kUnsupported,
         "config.json: relative_attention_num_buckets is {}; supported: {}, which transformers computes with "
         "whatever is said here",
         buckets, kBuckets);
  }
  const int64_t intermediate = config_int(config, "intermediate_size", 1, kMaxWidth);
  const auto epsilon = static_cast<float>(config_double_or(config, "layer_norm_eps", 1e-12, 0, 1));
  const Activation activation = config_activation(config, "hidden_act", "gelu");

  Description d;
  d.family = "mpnet";
  d.hidden_size = hidden;
  d.num_layers = config_int(config, "num_hidden_layers", 0, kMaxLayers);
  d.max_positions = config_int(config, "max_position_embeddings", kPaddingRow + 2, kMaxPositions);
  d.embedding.word = "embeddings.word_embeddings";
  d.embedding.vocab_size = config_int(config, "vocab_size", 1, kMaxVocab);
  d.embedding.width = hidden;
  d.embedding.position.scheme = PositionScheme::kLearnedOffset;
  d.embedding.position.name = "embeddings.position_embeddings";
  d.embedding.position.count = d.max_positions;
  d.embedding.position.offset = kPaddingRow + 1;
  d.embedding.norm = {"embeddings.LayerNorm", NormKind::kLayerNorm, hidden, epsilon, true};

  PositionSpec relative;
  relative.scheme = PositionScheme::kRelativeBuckets;
  relative.name = "encoder.relative_attention_bias";
  relative.count = relative.num_buckets = kBuckets;
  relative.max_distance = kMaxDistance;

  for (int layer = 0; layer < d.num_layers; ++layer) {
    const int64_t heads = layer_widths(config, layer, d.num_layers, {num_heads, intermediate}).num_heads;
    if (heads > 0 && heads != num_heads) {
      fail(ErrorKind::kUnsupported,
           "config.json: layer {} has {} of {} heads; the relative positions have a column a head, the same "
           "in every layer, so heads of this family cannot be removed one by one",
           layer, heads, num_heads);
    }
  }
  add_post_norm_layers(config,
                       {
                           .query = "attention.attn.q",
                           .key = "attention.attn.k",
                           .value = "attention.attn.v",
                           .output = "attention.attn.o",
                           .attention_norm = "attention.LayerNorm",
                           .num_heads = num_heads,
                           .intermediate = intermediate,
                           .epsilon = epsilon,
                           .activation = activation,
                           .position = relative,
                       },
                       d);
  add_heads(d, config, tensors, epsilon);
  return d;
}

}  // namespace

extern const Architecture mpnet_architecture;
const Architecture mpnet_architecture = {
    "mpnet",
    "mpnet.",
    {"embeddings", "encoder", "pooler"},
    describe_mpnet,
    {"encoder.layer.", "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"},
    {},
    "MPNet"};

}  // namespace penjing
