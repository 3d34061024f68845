#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "distill/learned_maps.h"
#include "distill/loss.h"
#include "distill/plan.h"

// A plan at work: takes what the two models said, layer by layer, through layer maps, projections and head
// maps to the losses, and weighs them.
namespace penjing::distill {

// All that one model said of a batch. layers[0].rows is the embeddings' output, layers[m] belongs to layer m;
// what no term reads (Connections::student_needs) may be empty.
struct Outputs {
  at::Tensor logits;        // of the task's head
  at::Tensor token_logits;  // of the masked-LM head
  at::Tensor embeddings;    // of sentences
  std::vector<LayerOutputs> layers;
};

struct DistillBatch {
  const Outputs& student;
  const Outputs& teacher;
  std::span<const int64_t> offsets, examples;  // as in LossInput
  at::Tensor labels, token_labels;             // may be undefined
  train::RandomKey random;
  double progress = 0;
  bool training = true;
};

struct ConnectionSetup {
  train::Parameters* parameters = nullptr;  // learned tensors are added, named kLearnedPrefix...
  int64_t num_examples = 0;
  std::span<const int64_t> example_labels;
  uint64_t seed = 1;
  at::ScalarType type = at::kFloat;
  // Word embeddings [vocabulary, width], for projections that begin with "svd" or "least_squares".
  at::Tensor student_words, teacher_words;
};

// One loss of a batch.
struct PlannedLoss {
  std::string name;
  double weight = 0;  // at this point of the training; above 0
  at::Tensor value;   // the mean over units
  double units = 0;   // see Unit
  bool relates_examples = false;
};

class Connections {
 public:
  // Throws kInput where a loss refuses what it is given.
  Connections(Plan plan, const ModelShape& student, const ModelShape& teacher, const ConnectionSetup& setup);

  // Bits of Need that terms which count at `progress` read of a layer, and of a model as a whole (logits,
  // embeddings, labels).
  unsigned student_needs(int64_t layer, double progress) const;
  unsigned teacher_needs(int64_t layer, double progress) const;
  unsigned whole_needs(double progress) const;
  // Whether a term's examples must come in one call.
  bool relates_examples() const;
  // Whether every term is a mean over examples: a step's examples may then come in parts.
  bool sums_over_examples() const;

  // What the terms' weights are multiplied by, one each; 1 before.
  void set_factors(std::span<const double> factors);
  std::vector<double> factors() const;

  // Of every term whose weight at batch.progress is not 0, in the plan's order.
  std::vector<PlannedLoss> losses(const DistillBatch& batch);

  TensorMap state() const;
  void restore(const TensorMap& state);
  const Plan& plan() const { return plan_; }

 private:
  struct Term {
    std::unique_ptr<Loss> loss;
    std::vector<LearnedLinear> projections;  // one, or one a place; empty: none
    LearnedVector mixture;                   // attention over layers: [places * teacher layers]
    double factor = 1;                       // of the weight
  };

  void add_projections(const LossTerm& term, const std::vector<PlaceSizes>& sizes,
                       const ConnectionSetup& setup, Term& out);
  Side student_side(std::size_t term, const DistillBatch& batch) const;
  Side teacher_side(std::size_t term, const DistillBatch& batch) const;
  unsigned layer_needs(int64_t layer, double progress, bool of_student) const;

  Plan plan_;
  std::vector<Term> terms_;
  std::map<std::string, LearnedLinear> projections_;  // by name
};

// Prefix of the names of all that distillation learns beside the student.
// (train/parameters.h: what begins with kAside is not part of the model).
inline constexpr std::string_view kLearnedPrefix = "aside.distill.";

}  // namespace penjing::distill
