#include "model/prompts.h"

#include <vector>

#include "base/error.h"

namespace penjing {

std::string find_prompt(const SentenceSpec& spec, const std::string& name) {
  std::string known;
  for (const auto& [key, text] : spec.prompts) {
    if (key == name) return text;
    known += (known.empty() ? "" : ", ") + key;
  }
  fail(ErrorKind::kInput, "prompt \"{}\": the model has {}", name, known.empty() ? "no prompts" : known);
}

std::string prompt_for(const SentenceSpec& spec, TextRole role) {
  std::vector<std::string> names;
  if (role == TextRole::kQuery) names = {"query"};
  if (role == TextRole::kDocument) names = {"document", "passage", "corpus"};
  for (const std::string& name : names) {
    for (const auto& [key, text] : spec.prompts) {
      if (key == name) return text;
    }
  }
  return spec.default_prompt.empty() ? "" : find_prompt(spec, spec.default_prompt);
}

}  // namespace penjing
