#include "train/ops/reference.h"

namespace penjing::train {

at::Tensor embed(const at::Tensor& word, const at::Tensor& ids, const at::Tensor& position,
                 const at::Tensor& positions, const at::Tensor& type, const at::Tensor& types) {
  return reference::embed(word, ids, position, positions, type, types);
}

}  // namespace penjing::train
