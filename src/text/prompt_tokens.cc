#include "text/prompt_tokens.h"

namespace penjing {

int64_t count_prompt_tokens(const Tokenizer& tokenizer, std::string_view prompt) {
  return prompt.empty() ? 0 : static_cast<int64_t>(tokenizer.encode(prompt).ids.size()) - 1;
}

}  // namespace penjing
