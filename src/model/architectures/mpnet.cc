// MPNet (Song et al. 2020) as Hugging Face stores it: BERT's post-norm layers, positions learned from row
// padding_idx + 1 on, no token types, and one table of relative positions (T5's buckets, a column a head)
// that every layer adds to its attention scores.
#include "base/error.h"
#include "model/architectures.h"

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
    HeadSpec head;
    head.kind = HeadKind::kTokenClassifier;
    head.has_projection = true;
    head.projection = {"classifier", hidden, count_labels(config, tensors, "classifier.weight"), true};
    d.heads.push_back(head);
  } else if (tensors.find("classifier.out_proj.weight") != nullptr ||
             announces(config, "ForSequenceClassification")) {
    // Reads the first token itself, not the pooler's output.
    HeadSpec head;
    head.kind = HeadKind::kSequenceClassifier;
    head.has_dense = true;
    head.dense = {"classifier.dense", hidden, hidden, true};
    head.activation = Activation::kTanh;
    head.has_projection = true;
    head.projection = {"classifier.out_proj", hidden,
                       count_labels(config, tensors, "classifier.out_proj.weight"), true};
    d.heads.push_back(head);
  }
  // Sentence encoders go on announcing the masked LM that they began as; its class has no pooler.
  const bool announced = announces(config, "ForMaskedLM") && tensors.find("pooler.dense.weight") == nullptr;
  if (tensors.find("lm_head.dense.weight") != nullptr || announced) {
    HeadSpec head;
    head.kind = HeadKind::kMaskedLm;
    head.has_dense = true;
    head.dense = {"lm_head.dense", hidden, hidden, true};
    head.activation = Activation::kGelu;  // whatever hidden_act says
    head.has_norm = true;
    head.norm = {"lm_head.layer_norm", NormKind::kLayerNorm, hidden, epsilon, true};
    head.has_projection = true;
    head.tied_to_word_embeddings = tensors.find("lm_head.decoder.weight") == nullptr;
    head.projection = {"lm_head.decoder", hidden, d.embedding.vocab_size, true};
    head.projection_bias = "lm_head.bias";
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

Description describe_mpnet(const Json& config, const TensorMap& tensors) {
  const int64_t hidden = config_int(config, "hidden_size", 1, kMaxWidth);
  const int64_t num_heads = config_int(config, "num_attention_heads", 1, kMaxWidth);
  if (hidden % num_heads != 0) {
    fail(ErrorKind::kFormat, "config.json: hidden_size {} is not a multiple of num_attention_heads {}",
         hidden, num_heads);
  }
  const int64_t buckets = config_int_or(config, "relative_attention_num_buckets", kBuckets, 1, kMaxWidth);
  if (buckets != kBuckets) {
    fail(ErrorKind::kUnsupported,
         "config.json: relative_attention_num_buckets is {}; supported: {}, which transformers computes with "
         "whatever is said here",
         buckets, kBuckets);
  }
  const int64_t head_dim = hidden / num_heads;
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

  int value = 0;
  for (int layer = 0; layer < d.num_layers; ++layer) {
    const LayerWidths widths = layer_widths(config, layer, d.num_layers, {num_heads, intermediate});
    const std::string base = fmt::format("encoder.layer.{}.", layer);
    if (widths.num_heads > 0) {
      if (widths.num_heads != num_heads) {
        fail(
            ErrorKind::kUnsupported,
            "config.json: layer {} has {} of {} heads; the relative positions have a column a head, the same "
            "in every layer, so heads of this family cannot be removed one by one",
            layer, widths.num_heads, num_heads);
      }
      AttentionSpec attention;
      attention.query = {base + "attention.attn.q", hidden, hidden, true};
      attention.key = {base + "attention.attn.k", hidden, hidden, true};
      attention.value = {base + "attention.attn.v", hidden, hidden, true};
      attention.output = {base + "attention.attn.o", hidden, hidden, true};
      attention.num_heads = num_heads;
      attention.head_dim = head_dim;
      attention.scale = attention_scale(head_dim);
      attention.position = relative;
      d.blocks.push_back({base + "attention",
                          layer,
                          value,
                          value,
                          NormPlace::kPost,
                          {base + "attention.LayerNorm", NormKind::kLayerNorm, hidden, epsilon, true},
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
