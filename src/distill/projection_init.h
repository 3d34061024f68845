#pragma once

#include <string>

#include "train/torch.h"

namespace penjing::distill {

// Weight [out, in] with which a projection y = x W^T from the student's width `in` to the teacher's `out`
// begins, FP64, by Projection::init (plan.h), from the models' word embeddings [vocabulary, width]:
//   "identity"       W_ii = 1
//   "svd"            columns are the teacher's first `in` right singular vectors, by falling singular value,
//   each with
//                    its largest element positive; columns beyond `out` are 0
//   "least_squares"  argmin |S W^T - T|_F over the words; kInput where the vocabularies differ in size
at::Tensor projection_weight(const std::string& init, int64_t in, int64_t out,
                             const at::Tensor& student_words, const at::Tensor& teacher_words);

}  // namespace penjing::distill
