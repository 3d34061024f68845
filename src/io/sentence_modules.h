#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/model.h"

namespace penjing {

// Reads modules.json and what it names (old and new forms of Sentence-Transformers) into model.sentence, and
// Dense weights into model.tensors under "<folder>.linear.weight". An unknown pooling or module is an error.
// Does nothing when there is no modules.json.
void read_sentence_modules(const std::filesystem::path& folder, Model& model);

// Gives a model without sentence modules a pooling, and with `normalize` rows of length 1 after it:
// modules.json and what it names. max_seq_length 0: not said.
void add_pooling_modules(Model& model, PoolingMode mode, bool normalize, int64_t max_seq_length);

// Appends a dense layer without activation to the sentence modules of a model: tensors [out, in] and [out],
// modules.json and the layer's config.json, in the form that every version of Sentence-Transformers reads.
void append_dense_module(Model& model, Tensor weight, Tensor bias);
// The same as a classifier (is_sentence_classifier): with the classes' names in config.json.
void append_classifier(Model& model, Tensor weight, Tensor bias, const std::vector<std::string>& names);

}  // namespace penjing
