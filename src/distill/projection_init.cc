#include "distill/projection_init.h"

#include <algorithm>

#include "base/error.h"

namespace penjing::distill {

namespace {

at::Tensor words_of(const at::Tensor& table, int64_t width, const char* whose, const std::string& init) {
  if (!table.defined() || table.dim() != 2)
    fail(ErrorKind::kInternal, "projection init {}: no word embeddings of the {}", init, whose);
  if (table.size(1) != width) {
    fail(ErrorKind::kInput,
         "projection: init: {}: word embeddings of the {} are {} wide, what is projected {}", init, whose,
         table.size(1), width);
  }
  return table.detach().to(at::kCPU, at::kDouble);
}

at::Tensor singular_vectors(const at::Tensor& words, int64_t count) {
  const int64_t width = words.size(1), there = std::min(count, width);
  // Of W^T W: eigenvalues rise.
  const at::Tensor vectors =
      std::get<1>(at::linalg_eigh(at::mm(words.t(), words))).flip({1}).narrow(1, 0, there);
  const at::Tensor largest = vectors.gather(0, vectors.abs().argmax(0, true));
  const at::Tensor signed_vectors = vectors * largest.sign();
  return there == count ? signed_vectors
                        : at::cat({signed_vectors, at::zeros({width, count - there}, words.options())}, 1);
}

}  // namespace

at::Tensor projection_weight(const std::string& init, int64_t in, int64_t out,
                             const at::Tensor& student_words, const at::Tensor& teacher_words) {
  if (init == "identity") return at::eye(out, in, at::kDouble);
  const at::Tensor teacher = words_of(teacher_words, out, "teacher", init);
  if (init == "svd") return singular_vectors(teacher, in);
  if (init != "least_squares") fail(ErrorKind::kInternal, "projection init {}", init);
  const at::Tensor student = words_of(student_words, in, "student", init);
  if (student.size(0) != teacher.size(0)) {
    fail(ErrorKind::kInput, "projection: init: least_squares: {} words of the student, {} of the teacher",
         student.size(0), teacher.size(0));
  }
  const at::Tensor gram = at::mm(student.t(), student);
  return at::mm(at::linalg_pinv(gram, 1e-12, true), at::mm(student.t(), teacher)).t();
}

}  // namespace penjing::distill
