#include "train/objective.h"

#include "base/error.h"

namespace penjing::train {

#define PENJING_OBJECTIVE(name) extern const ObjectiveKind name##_objective;
#include "train/objectives.def"
#undef PENJING_OBJECTIVE

namespace {

constexpr const ObjectiveKind* kObjectives[] = {
#define PENJING_OBJECTIVE(name) &name##_objective,
#include "train/objectives.def"
#undef PENJING_OBJECTIVE
};

bool lists(std::string_view words, std::string_view word) {
  for (std::size_t begin = 0; begin < words.size();) {
    const std::size_t end = std::min(words.find(' ', begin), words.size());
    if (words.substr(begin, end - begin) == word) return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

std::span<const ObjectiveKind* const> all_objectives() {
  return kObjectives;
}

const ObjectiveKind* find_objective(std::string_view name) {
  for (const ObjectiveKind* kind : kObjectives) {
    if (name == kind->name || lists(kind->aliases, name)) return kind;
  }
  return nullptr;
}

}  // namespace penjing::train
