#pragma once

#include <cstdint>
#include <string_view>

#include "text/tokenizer.h"

namespace penjing {

// Tokens that a prompt takes at the start of a text, the opening special one included, as
// Sentence-Transformers counts them: its own encoding less the closing token; 0 for an empty prompt.
int64_t count_prompt_tokens(const Tokenizer& tokenizer, std::string_view prompt);

}  // namespace penjing
