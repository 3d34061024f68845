#include "distill/vector_loss.h"

#include "base/error.h"
#include "distill/sequence_numerics.h"

namespace penjing::distill {

unsigned VectorsOf::needs() const {
  if (name == "first") return kFirst;
  return is_layered() ? kRows : name == "embeddings" ? kEmbeddings : kLogits;
}

Unit VectorsOf::unit() const {
  return name == "rows" ? Unit::kTokens : name == "logits" ? Unit::kLogitRows : Unit::kSequences;
}

at::Tensor VectorsOf::pick(const Side& side, std::size_t place, std::span<const int64_t> offsets) const {
  if (name == "logits") return side.logits;
  if (name == "embeddings") return side.embeddings;
  const at::Tensor& rows = side.layers[place].rows;
  if (name == "first") return first_rows(rows, offsets);
  return name == "mean" ? sequence_means(rows, offsets) : rows;
}

PlaceSizes VectorsOf::sizes(const LossSetup& setup, std::size_t place) const {
  if (name == "logits") return {setup.student_logits, setup.teacher_logits};
  if (name == "embeddings") return {setup.student_embedding, setup.teacher_embedding};
  return setup.places[place];
}

at::Tensor VectorLoss::compute(const LossInput& input) {
  if (of_.is_layered() && input.student.layers.size() != num_places_) {
    fail(ErrorKind::kInternal, "{} layers, set up for {}", input.student.layers.size(), num_places_);
  }
  at::Tensor sum;
  for (std::size_t i = 0; i < num_places_; ++i) {
    const at::Tensor value = of_vectors(of_.pick(input.student, i, input.offsets),
                                        of_.pick(input.teacher, i, input.offsets), i, input);
    sum = sum.defined() ? sum + value : value;
  }
  return mean_ ? sum / static_cast<double>(num_places_) : sum;
}

}  // namespace penjing::distill
