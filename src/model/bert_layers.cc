#include "model/bert_layers.h"

#include "base/error.h"
#include "model/architectures.h"

namespace penjing {

void check_bert_config(const Json& config) {
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
}

float bert_epsilon(const Json& config) {
  return static_cast<float>(config_double_or(config, "layer_norm_eps", 1e-12, 0, 1));
}

void add_bert_layers(const Json& config, Description& d) {
  const int64_t hidden = d.hidden_size = config_int(config, "hidden_size", 1, kMaxWidth);
  const int64_t num_heads = config_int(config, "num_attention_heads", 1, kMaxWidth);
  const int64_t head_dim = hidden / num_heads;
  const int64_t intermediate = config_int(config, "intermediate_size", 1, kMaxWidth);
  const float epsilon = bert_epsilon(config);
  const Activation activation = config_activation(config, "hidden_act", "gelu");
  d.num_layers = config_int(config, "num_hidden_layers", 0, kMaxLayers);
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
}

}  // namespace penjing
