#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "model/linear.h"
#include "model/model.h"
#include "text/ragged_batch.h"

namespace penjing::testing {

// Random models small enough for a slow reference, built from a Description by hand: no family has all these
// blocks at once.

// Fills in every tensor that the description names. `seed` names the model.
void fill_tensors(Model& model, uint64_t seed);

// BERT's shape with unequal widths: layer 0 has 4 heads of 8 and 70 inner features, layer 1 has 2 heads and
// 24, layer 2 has no attention, layer 3 no feed-forward. Heads of every kind; embeddings of mean pooling.
Model make_bert_like(uint64_t seed);

// Everything else the description can say: embeddings narrower than the hidden size and projected, offset
// positions, no token types, bottlenecks with a residual from an earlier value, queries and keys read
// elsewhere, pre-norm, gated feed-forward, RMS and affine norms, relative positions, a window, a product
// without bias, a low-rank and a shared one.
Model make_mixed(uint64_t seed);

// A MobileBERT of two layers: trigrams projected before positions are added, bottlenecks, three feed-forwards
// a layer, affine norms; a masked-LM head that goes on where the word embeddings end, and a classifier.
Model make_mobilebert(uint64_t seed);

// The same model with INT8 weights (numerics/quantizer.h) and embeddings; activations are affine or
// symmetric. Low-rank products stay FP32.
Model quantize_tiny(const Model& model, bool symmetric);

// Gives the products of a quantize_tiny model another way to quantize their inputs: fixed ranges of about +-3
// when static, and with `smooth` a vector that the input is divided by.
void set_input_scheme(Model& model, const ActivationScheme& scheme, bool smooth);

// Zeroes a share of the blocks of four outputs and one input of every matrix (FP32 or INT8).
void zero_blocks(Model& model, double share);

// All float tensors in bf16.
void round_to_bf16(Model& model);

// Sequences of 1 to max_length tokens, most of them short.
std::vector<int32_t> random_ids(Rng& rng, int64_t length, int64_t vocab_size);
RaggedBatch random_batch(Rng& rng, int64_t num_sequences, int64_t max_length, int64_t vocab_size);

}  // namespace penjing::testing
