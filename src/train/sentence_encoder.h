#pragma once

#include <cstdint>
#include <string>

#include "model/model.h"
#include "train/objective_params.h"

namespace penjing::train {

// Makes `model` one that gives sentence embeddings. One with a pooling stays as it is; another loses its
// heads and gets the pooling that the parameter "pooling" asks for ("own", the default: the mean). kInput for
// a pooling beside the model's own, and for a model whose embeddings are logits of classes.
void make_sentence_encoder(Model& model, ObjectiveParams& params, int64_t max_length, uint64_t seed);

}  // namespace penjing::train
