#pragma once

#include <filesystem>

#include "model/model.h"

namespace penjing {

// Reads modules.json and what it names (old and new forms of Sentence-Transformers) into model.sentence, and
// Dense weights into model.tensors under "<folder>.linear.weight". An unknown pooling or module is an error.
// Does nothing when there is no modules.json.
void read_sentence_modules(const std::filesystem::path& folder, Model& model);

// Appends a dense layer without activation to the sentence modules of a model: tensors [out, in] and [out],
// modules.json and the layer's config.json, in the form that every version of Sentence-Transformers reads.
void append_dense_module(Model& model, Tensor weight, Tensor bias);

}  // namespace penjing
