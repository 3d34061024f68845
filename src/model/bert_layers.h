#pragma once

#include "base/json.h"
#include "model/description.h"

namespace penjing {

// What BERT and ELECTRA have in common: the encoder's layers, post-norm, at encoder.layer.N with BERT's
// names.

// Refuses (kFormat, kUnsupported) what neither computes: relative positions, decoders, heads that do not fill
// the width.
void check_bert_config(const Json& config);
float bert_epsilon(const Json& config);  // of every norm
// Sets hidden_size, num_layers and output, and appends the blocks; pruned heads and own widths are honoured.
void add_bert_layers(const Json& config, Description& description);

}  // namespace penjing
