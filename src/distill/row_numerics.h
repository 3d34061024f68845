#pragma once

#include "train/torch.h"

// What several losses compute of rows [n, width], differentiable, in the type of their arguments.
namespace penjing::distill {

// Rows divided by their Euclidean length (plus `added`). A row shorter than 1e-12 becomes 0 and has no
// gradient: PyTorch's normalize has the same values there, and a gradient of up to 1e12.
at::Tensor directions(const at::Tensor& rows, double added = 0);

// Rows less their mean, divided by sqrt(variance + 1e-12): a layer norm without weights.
at::Tensor normalised_rows(const at::Tensor& rows);

// sum over a row's elements of (a - b)^2, [n].
at::Tensor squared_distances(const at::Tensor& a, const at::Tensor& b);

// torch's smooth_l1_loss (beta 1), element by element: d^2 / 2 below |d| = 1, else |d| - 1/2.
at::Tensor smooth_l1(const at::Tensor& difference);

}  // namespace penjing::distill
