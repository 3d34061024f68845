#pragma once

#include "base/json.h"
#include "model/description.h"

namespace penjing {

// Encoder layers of BERT's kind: attention and feed-forward, each with its norm after it. Names are what
// follows the layer's prefix and number; those of BERT unless said.
struct PostNormLayers {
  const char* prefix = "encoder.layer.";
  const char *query = "attention.self.query", *key = "attention.self.key", *value = "attention.self.value",
             *output = "attention.output.dense", *attention_norm = "attention.output.LayerNorm";
  const char *up = "intermediate.dense", *down = "output.dense", *feed_forward_norm = "output.LayerNorm";
  const char* feed_forward = "output";  // the block's name
  int64_t num_heads = 0, intermediate = 0;
  float epsilon = 0;
  Activation activation = Activation::kGelu;
  PositionSpec position{PositionScheme::kNone, "", 0, 0, 0, 0, 0};  // inside attention
};

// Appends d.num_layers of them, d.hidden_size wide, to no blocks, and sets d.output. Pruned heads and own
// widths are honoured.
void add_post_norm_layers(const Json& config, const PostNormLayers& layers, Description& d);

// BERT and ELECTRA: hidden_size, num_layers and the layers by config.json. Refuses (kFormat, kUnsupported)
// what neither computes: relative positions, decoders, heads that do not fill the width.
void add_bert_layers(const Json& config, Description& d);
float bert_epsilon(const Json& config);  // of every norm

}  // namespace penjing
