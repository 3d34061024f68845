#include "distill/row_numerics.h"

namespace penjing::distill {

at::Tensor directions(const at::Tensor& rows, double added) {
  const at::Tensor squares = (rows * rows).sum({-1}, true);
  const at::Tensor there = squares > 1e-24;
  // Where nothing is there, the root is of 1: its derivative is finite, and what it gives is masked.
  const at::Tensor lengths = at::where(there, squares, at::ones_like(squares)).sqrt() + added;
  return (rows / lengths).masked_fill(there.logical_not(), 0);
}

at::Tensor normalised_rows(const at::Tensor& rows) {
  const at::Tensor centred = rows - rows.mean({-1}, true);
  return centred / ((centred * centred).mean({-1}, true) + 1e-12).sqrt();
}

at::Tensor squared_distances(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor difference = a - b;
  return (difference * difference).sum({-1});
}

at::Tensor smooth_l1(const at::Tensor& difference) {
  return at::smooth_l1_loss(difference, at::zeros_like(difference), at::Reduction::None);
}

}  // namespace penjing::distill
