#pragma once

#include <string>

#include "distill/loss.h"
#include "train/matryoshka.h"

namespace penjing::distill {

// Which vectors of a side a loss compares, its parameter "of":
//   rows        every token's hidden state at each matched place
//   first       the first token's ([CLS]), one a sequence
//   mean        the mean over a sequence's tokens
//   embeddings  the sentence embeddings
//   logits      the head's logits
struct VectorsOf {
  std::string name;

  unsigned needs() const;
  bool is_layered() const { return name == "rows" || name == "first" || name == "mean"; }
  Unit unit() const;
  at::Tensor pick(const Side& side, std::size_t place, std::span<const int64_t> offsets) const;
  // Widths of the vectors on both sides.
  PlaceSizes sizes(const LossSetup& setup, std::size_t place) const;
};

// kInput unless dims are of sentence embeddings: what a loss with parameters "of" and "matryoshka" checks.
train::Matryoshka read_matryoshka(const std::string& of, const Json& dims, const Json& weights);

// A loss of one vector a token or an example on each side; the sum (or mean) over places where it is layered.
// Of sentence embeddings also at several widths (train/matryoshka.h): the teacher's are cut like the
// student's where the loss wants equal widths, and stay whole where it compares similarities.
class VectorLoss : public Loss {
 protected:
  VectorLoss(const std::string& of, unsigned needs, const LossSetup& setup, train::Matryoshka matryoshka = {})
      : Loss(VectorsOf{of}.needs() | needs),
        of_{of},
        matryoshka_(std::move(matryoshka)),
        cuts_teacher_((needs & kEqualWidths) != 0),
        unit_(setup.unit_embeddings),
        num_places_(of_.is_layered() ? setup.places.size() : 1),
        mean_(setup.mean_over_places) {
    if (!matryoshka_.dims.empty()) train::require_dimensions(matryoshka_, setup.student_embedding);
  }
  at::Tensor compute(const LossInput& input) override;
  // student, teacher: [n, width of each].
  virtual at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t place,
                                const LossInput& input) = 0;
  const VectorsOf& of() const { return of_; }
  std::size_t num_places() const { return num_places_; }

 private:
  VectorsOf of_;
  train::Matryoshka matryoshka_;
  bool cuts_teacher_, unit_;
  std::size_t num_places_;
  bool mean_;
};

}  // namespace penjing::distill
