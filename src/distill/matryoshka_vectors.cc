#include "distill/matryoshka_vectors.h"

#include "base/error.h"

namespace penjing::distill {

train::Matryoshka MatryoshkaParams::read(const std::string& of) const {
  train::Matryoshka matryoshka = train::read_matryoshka(dims, weights);
  if (!matryoshka.dims.empty() && of != "embeddings")
    fail(ErrorKind::kInput, "matryoshka: of sentence embeddings alone; of is \"{}\"", of);
  return matryoshka;
}

at::Tensor at_dimensions(
    const train::Matryoshka& matryoshka, const at::Tensor& student, const at::Tensor& teacher,
    bool cuts_teacher,
    const std::function<at::Tensor(const at::Tensor& student, const at::Tensor& teacher)>& loss_of) {
  if (matryoshka.dims.empty()) return loss_of(student, teacher);
  train::require_dimensions(matryoshka, student.size(1));
  return train::sum_over_dimensions(matryoshka, [&](int64_t dim) {
    return loss_of(train::first_dimensions(student, dim, false),
                   cuts_teacher ? train::first_dimensions(teacher, dim, false) : teacher);
  });
}

}  // namespace penjing::distill
