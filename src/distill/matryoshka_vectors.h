#pragma once

#include <functional>
#include <string>

#include "train/matryoshka.h"

namespace penjing::distill {

// The parameters of a loss of vectors that may count at several widths.
struct MatryoshkaParams {
  Json dims = Json::array(), weights = Json::array();
  template <class Visitor>
  void visit(Visitor& v) {
    v.json("matryoshka", dims,
           "of embeddings: widths that count, as [64, 128]: of each the first numbers alone");
    v.json("matryoshka_weights", weights, "a weight for each of them; default: 1");
  }
  // Of a loss that compares the vectors `of`; kInput unless those are sentence embeddings.
  train::Matryoshka read(const std::string& of) const;
};

// A loss of vectors [n, width of each side] at several widths of the student's (train/matryoshka.h), without
// dims of the whole. The teacher's are cut like the student's, or stay whole where similarities of examples
// are compared, which have no width. What is cut is not scaled anew: losses of cosines do not see it, and
// squared differences are of the numbers as they are. kInput for a width beyond the student's.
at::Tensor at_dimensions(
    const train::Matryoshka& matryoshka, const at::Tensor& student, const at::Tensor& teacher,
    bool cuts_teacher,
    const std::function<at::Tensor(const at::Tensor& student, const at::Tensor& teacher)>& loss_of);

}  // namespace penjing::distill
