#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compress/params.h"
#include "distill/loss_kind.h"
#include "model/tensor.h"
#include "train/parameters.h"
#include "train/random_key.h"
#include "train/torch.h"

namespace penjing::distill {

// Of one layer, packed as in train/packed_batch.h: T tokens of n sequences end to end, no padding.
struct LayerOutputs {
  at::Tensor rows;               // hidden states [T, width]
  at::Tensor first;              // of first tokens alone [n, width], where the others are not known
  at::Tensor query, key, value;  // [T, num_heads * head_dim]
  int64_t num_heads = 0;
  // Attention before softmax, one [heads, L, L] a sequence. For a loss that needs kAttention these may be
  // logarithms of probabilities: its softmax is then those.
  std::vector<at::Tensor> scores;
};

// What one model said of a batch; what no loss needs stays undefined.
struct Side {
  at::Tensor logits;  // [n, classes]; token logits [m, vocabulary]; a ranker's scores [queries, candidates]
  at::Tensor embeddings;             // [n, dim]
  std::vector<LayerOutputs> layers;  // the matched places
};

struct LossInput {
  const Side& student;
  const Side& teacher;
  // [n + 1]: sequence i holds rows [offsets[i], offsets[i + 1]). For a loss that needs kFirst every sequence
  // may be its first token alone.
  std::span<const int64_t> offsets;
  std::span<const int64_t> examples;  // numbers in the data set, of the n sequences
  at::Tensor labels;  // [n], or of token logits [m] with -100 where nothing was masked; may be undefined
  train::RandomKey random;  // what a loss draws depends on it and on the examples' numbers alone
  double progress = 0;      // share of the training that is done, in [0, 1]
  bool training = true;     // memory banks are brought up to date
  // The teacher's tensors are constants, whatever their history. False: they are a learned mixture of
  // constants (attention over layers), whose weights get a gradient.
  bool constant_teacher = true;
};

// What a loss' value is the mean over. Means of micro batches make the mean of the step as
// sum(value * units) / sum(units), except kBatch: the batch is one thing (similarities of examples,
// statistics of it), and its examples must come in one call.
enum class Unit { kLogitRows, kSequences, kTokens, kSquares, kBatch };

// A loss with what it has learned and remembers. Not thread-safe.
class Loss {
 public:
  virtual ~Loss() = default;
  // The mean, a scalar: FP32 (FP64 where inputs are). Rows of less precision are widened first. Throws
  // kInternal when something that the loss needs is missing or of another shape than was set up.
  at::Tensor value(const LossInput& input);
  virtual Unit unit() const = 0;
  bool relates_examples() const { return unit() == Unit::kBatch; }
  virtual double units(const LossInput& input) const;

  // What is no parameter and must survive a resume bit for bit.
  virtual TensorMap state() const { return {}; }
  virtual void restore(const TensorMap& state) { (void)state; }

 protected:
  explicit Loss(unsigned needs) : needs_(needs) {}
  virtual at::Tensor compute(const LossInput& input) = 0;

 private:
  unsigned needs_;
};

// Sizes of a matched place.
struct PlaceSizes {
  int64_t student_width = 0, teacher_width = 0;  // of rows, after projections
};

// What a loss is made from.
struct LossSetup {
  train::Parameters* parameters = nullptr;  // learned tensors are added here and looked up at each call
  std::string prefix;                       // their names begin with it: "aside.distill.vid."
  std::vector<PlaceSizes> places;
  int64_t student_embedding = 0, teacher_embedding = 0;  // widths of sentence embeddings
  int64_t student_logits = 0, teacher_logits = 0;
  bool mean_over_places = false;            // else the sum
  int64_t num_examples = 0;                 // of the data set
  std::span<const int64_t> example_labels;  // of the data set's examples, where they have a class; copied
  uint64_t seed = 1;
  at::ScalarType type = at::kFloat;  // of learned tensors
};

// A loss that is the sum (or mean) over matched places of a loss of each.
class LayerLoss : public Loss {
 protected:
  LayerLoss(unsigned needs, const LossSetup& setup)
      : Loss(needs), num_places_(setup.places.size()), mean_(setup.mean_over_places) {}
  at::Tensor compute(const LossInput& input) override;
  virtual at::Tensor of_place(const LayerOutputs& student, const LayerOutputs& teacher, std::size_t place,
                              const LossInput& input) = 0;
  std::size_t num_places() const { return num_places_; }

 private:
  std::size_t num_places_;
  bool mean_;
};

// Most losses' `make` and `needs`.
template <typename L, typename Params>
std::unique_ptr<Loss> make_loss(const Json& params, const LossSetup& setup) {
  return std::make_unique<L>(read_params<Params>(params), setup);
}
template <unsigned kNeeds>
unsigned always_needs(const Json&) {
  return kNeeds;
}
struct NoParams {
  template <class Visitor>
  void visit(Visitor&) {}
};

}  // namespace penjing::distill
