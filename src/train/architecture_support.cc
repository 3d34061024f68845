#include "train/architecture_support.h"

#include "base/error.h"

namespace penjing::train {

void require_trainable(const Description& description) {
  const auto refuse = [&](const std::string& part) {
    fail(ErrorKind::kUnsupported, "{}: the trainer has no {}", description.family, part);
  };
  if (description.embedding.trigram && !description.embedding.projects_words)
    refuse("trigrams that are not projected before positions are added");
  const PositionScheme scheme = description.embedding.position.scheme;
  if (scheme != PositionScheme::kNone && scheme != PositionScheme::kLearned &&
      scheme != PositionScheme::kLearnedOffset) {
    refuse("positions of this kind in the embedding");
  }
  for (const Block& block : description.blocks) {
    const auto* attention = std::get_if<AttentionSpec>(&block.part);
    if (attention != nullptr && attention->position.scheme != PositionScheme::kNone &&
        attention->position.scheme != PositionScheme::kRelativeBuckets) {
      refuse("positions of this kind within attention (" + block.name + ")");
    }
  }
}

}  // namespace penjing::train
