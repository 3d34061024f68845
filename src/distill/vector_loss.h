#pragma once

#include <string>

#include "distill/loss.h"

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

// A loss of one vector a token or an example on each side; the sum (or mean) over places where it is layered.
class VectorLoss : public Loss {
 protected:
  VectorLoss(const std::string& of, unsigned needs, const LossSetup& setup)
      : Loss(VectorsOf{of}.needs() | needs),
        of_{of},
        num_places_(of_.is_layered() ? setup.places.size() : 1),
        mean_(setup.mean_over_places) {}
  at::Tensor compute(const LossInput& input) override;
  // student, teacher: [n, width of each].
  virtual at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t place,
                                const LossInput& input) = 0;
  const VectorsOf& of() const { return of_; }
  std::size_t num_places() const { return num_places_; }

 private:
  VectorsOf of_;
  std::size_t num_places_;
  bool mean_;
};

}  // namespace penjing::distill
