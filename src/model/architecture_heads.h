#pragma once

#include <string>

#include "base/json.h"
#include "model/description.h"
#include "model/tensor.h"

// Heads that families have in common, on an encoder of `hidden` features.
namespace penjing {

// "classifier", a projection of every token.
HeadSpec token_classifier(const Json& config, const TensorMap& tensors, int64_t hidden);

// A dense layer of the first token, and the classes.
HeadSpec sequence_classifier(const Json& config, const TensorMap& tensors, int64_t hidden, const char* dense,
                             Activation activation, const char* projection);

// dense -> activation -> norm -> projection to the vocabulary, which is the word embeddings' where the
// checkpoint has none of its own. width: of the rows that are projected.
struct MaskedLmNames {
  const char *dense, *norm, *projection, *bias;
};
// BERT's and MobileBERT's.
inline constexpr MaskedLmNames kBertMaskedLm = {"cls.predictions.transform.dense",
                                                "cls.predictions.transform.LayerNorm",
                                                "cls.predictions.decoder", "cls.predictions.bias"};
HeadSpec masked_lm_head(const MaskedLmNames& names, const TensorMap& tensors, int64_t hidden, int64_t width,
                        int64_t vocab_size, Activation activation, float epsilon);

// "qa_outputs", where the config announces it or the tensors are there.
void add_question_answering(const Json& config, const TensorMap& tensors, Description& d);

}  // namespace penjing
