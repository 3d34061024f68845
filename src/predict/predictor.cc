#include "predict/predictor.h"

namespace penjing {

const char* to_string(OutputKind kind) {
  switch (kind) {
    case OutputKind::kHidden:
      return "hidden states";
    case OutputKind::kEmbedding:
      return "sentence embeddings";
    case OutputKind::kPooled:
      return "pooled output";
    case OutputKind::kClassLogits:
      return "class logits";
    case OutputKind::kTokenLogits:
      return "token logits";
    case OutputKind::kMaskedLogits:
      return "masked-word logits";
    case OutputKind::kSpanLogits:
      return "span logits";
  }
  return "?";
}

}  // namespace penjing
