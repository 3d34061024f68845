// Losses on logits: cross-entropy, binary cross-entropy, squared error.
#include "base/error.h"
#include "train/losses.h"

namespace penjing::train {

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets,
                         const CrossEntropyOptions& options) {
  if (!(options.label_smoothing >= 0 && options.label_smoothing < 1))
    fail(ErrorKind::kInput, "label smoothing {}, wanted 0 <= x < 1", options.label_smoothing);
  c10::optional<at::Tensor> weights;
  if (options.class_weights.defined()) weights = options.class_weights.to(logits.options());
  return at::cross_entropy_loss(logits, targets, weights, at::Reduction::Sum, kIgnoredTarget,
                                options.label_smoothing);
}

at::Tensor multi_label_cross_entropy(const at::Tensor& logits, const at::Tensor& targets,
                                     const at::Tensor& positive_weights) {
  c10::optional<at::Tensor> weights;
  if (positive_weights.defined()) weights = positive_weights.to(logits.options());
  return at::binary_cross_entropy_with_logits(logits, targets.to(logits.options()), {}, weights,
                                              at::Reduction::Sum) /
         static_cast<double>(logits.size(1));
}

at::Tensor squared_error(const at::Tensor& predicted, const at::Tensor& wanted) {
  const at::Tensor difference = predicted - wanted.to(predicted.options());
  const double outputs = predicted.dim() > 1 ? static_cast<double>(predicted.size(1)) : 1;
  return (difference * difference).sum() / outputs;
}

}  // namespace penjing::train
