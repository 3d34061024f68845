#pragma once

#include <filesystem>

#include "model/model.h"

namespace penjing {

// Reads modules.json and what it names (old and new forms of Sentence-Transformers) into model.sentence, and
// Dense weights into model.tensors under "<folder>.linear.weight". An unknown pooling or module is an error.
// Does nothing when there is no modules.json.
void read_sentence_modules(const std::filesystem::path& folder, Model& model);

}  // namespace penjing
