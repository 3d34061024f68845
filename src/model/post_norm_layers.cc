#include "model/post_norm_layers.h"

#include "base/error.h"
#include "model/architectures.h"

namespace penjing {

void add_post_norm_layers(const Json& config, const PostNormLayers& layers, Description& d) {
  const int64_t hidden = d.hidden_size, head_dim = hidden / layers.num_heads;
  int value = 0;
  const auto add = [&](const std::string& name, int layer, const std::string& norm, auto part) {
    d.blocks.push_back({name,
                        layer,
                        value,
                        value,
                        NormPlace::kPost,
                        {norm, NormKind::kLayerNorm, hidden, layers.epsilon, true},
                        std::move(part)});
    value = static_cast<int>(d.blocks.size());
  };
  for (int layer = 0; layer < d.num_layers; ++layer) {
    const LayerWidths widths =
        layer_widths(config, layer, d.num_layers, {layers.num_heads, layers.intermediate});
    const std::string base = fmt::format("{}{}.", layers.prefix, layer);
    if (widths.num_heads > 0) {
      const int64_t inner = widths.num_heads * head_dim;
      AttentionSpec attention;
      attention.query = {base + layers.query, hidden, inner, true};
      attention.key = {base + layers.key, hidden, inner, true};
      attention.value = {base + layers.value, hidden, inner, true};
      attention.output = {base + layers.output, inner, hidden, true};
      attention.num_heads = widths.num_heads;
      attention.head_dim = head_dim;
      attention.scale = attention_scale(head_dim);
      attention.position = layers.position;
      add(base + "attention", layer, base + layers.attention_norm, attention);
    }
    if (widths.intermediate_size > 0) {
      FeedForwardSpec feed_forward;
      feed_forward.up = {base + layers.up, hidden, widths.intermediate_size, true};
      feed_forward.down = {base + layers.down, widths.intermediate_size, hidden, true};
      feed_forward.activation = layers.activation;
      add(base + layers.feed_forward, layer, base + layers.feed_forward_norm, feed_forward);
    }
  }
  d.output = value;
}

void add_bert_layers(const Json& config, Description& d) {
  const std::string positions = config_string_or(config, "position_embedding_type", "absolute");
  if (positions != "absolute") {
    fail(ErrorKind::kUnsupported, "config.json: position_embedding_type is \"{}\"; supported: absolute",
         positions);
  }
  if (config_bool_or(config, "is_decoder", false) || config_bool_or(config, "add_cross_attention", false)) {
    fail(ErrorKind::kUnsupported,
         "config.json: is_decoder or add_cross_attention is true; only encoders are supported");
  }
  d.hidden_size = config_int(config, "hidden_size", 1, kMaxWidth);
  PostNormLayers layers;
  layers.num_heads = config_heads(config, "num_attention_heads", "hidden_size");
  layers.intermediate = config_int(config, "intermediate_size", 1, kMaxWidth);
  layers.epsilon = bert_epsilon(config);
  layers.activation = config_activation(config, "hidden_act", "gelu");
  d.num_layers = config_int(config, "num_hidden_layers", 0, kMaxLayers);
  add_post_norm_layers(config, layers, d);
}

float bert_epsilon(const Json& config) {
  return static_cast<float>(config_double_or(config, "layer_norm_eps", 1e-12, 0, 1));
}

}  // namespace penjing
