#pragma once

#include <string>

#include "model/model.h"

namespace penjing {

// What a text is to a sentence model. Its prompt, as Sentence-Transformers chooses it: of a query the one
// named "query", of a document "document", "passage" or "corpus", the first that is there; else, and of a
// plain text, the default one; "" where the model has none.
enum class TextRole { kText, kQuery, kDocument };
std::string prompt_for(const SentenceSpec& spec, TextRole role);
// kInput, naming those that are there, when the model has none of this name.
std::string find_prompt(const SentenceSpec& spec, const std::string& name);

}  // namespace penjing
