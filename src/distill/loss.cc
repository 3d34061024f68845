#include "distill/loss.h"

#include "base/error.h"

namespace penjing::distill {

namespace {

at::Tensor widened(const at::Tensor& x) {
  return !x.defined() || x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

Side widened(const Side& side, bool constant) {
  const auto prepare = [&](const at::Tensor& x) {
    return x.defined() && constant ? widened(x.detach()) : widened(x);
  };
  Side out{prepare(side.logits), prepare(side.embeddings), {}};
  for (const LayerOutputs& layer : side.layers) {
    LayerOutputs& to = out.layers.emplace_back();
    to.rows = prepare(layer.rows);
    to.query = prepare(layer.query);
    to.key = prepare(layer.key);
    to.value = prepare(layer.value);
    to.num_heads = layer.num_heads;
    for (const at::Tensor& scores : layer.scores) to.scores.push_back(prepare(scores));
  }
  return out;
}

void require(bool there, const char* who, const char* what) {
  if (!there) fail(ErrorKind::kInternal, "a distillation loss needs the {}'s {}", who, what);
}

void check(const Side& side, unsigned needs, const LossInput& input, const char* who) {
  const std::size_t sequences = input.offsets.empty() ? 0 : input.offsets.size() - 1;
  if ((needs & (kLogits | kTokenLogits)) != 0) require(side.logits.defined(), who, "logits");
  if ((needs & kEmbeddings) != 0) require(side.embeddings.defined(), who, "sentence embeddings");
  if ((needs & kLayered) == 0) return;
  require(!side.layers.empty() && sequences > 0, who, "layers");
  for (const LayerOutputs& layer : side.layers) {
    const auto rows = [&](unsigned need, const at::Tensor& x, const char* what) {
      if ((needs & need) == 0) return;
      require(x.defined() && x.dim() == 2 && x.size(0) == input.offsets.back(), who, what);
    };
    rows(kStates, layer.rows, "hidden states, one a token");
    rows(kQuery, layer.query, "queries, one a token");
    rows(kKey, layer.key, "keys, one a token");
    rows(kValue, layer.value, "values, one a token");
    if ((needs & (kScores | kAttention)) != 0) {
      require(layer.scores.size() == sequences, who, "attention scores, of each sequence");
    }
  }
}

}  // namespace

at::Tensor Loss::value(const LossInput& input) {
  const Side student = widened(input.student, false);
  const Side teacher = widened(input.teacher, input.constant_teacher);
  LossInput prepared{student,      teacher,        input.offsets,  input.examples,        input.labels,
                     input.random, input.progress, input.training, input.constant_teacher};
  check(student, needs_, prepared, "student");
  check(teacher, needs_, prepared, "teacher");
  if (student.layers.size() != teacher.layers.size()) {
    fail(ErrorKind::kInternal, "{} layers of the student matched with {}", student.layers.size(),
         teacher.layers.size());
  }
  return compute(prepared);
}

double Loss::units(const LossInput& input) const {
  double sum = 0;
  switch (unit()) {
    case Unit::kLogitRows:
      return static_cast<double>(input.student.logits.size(0));
    case Unit::kSequences:
      return input.offsets.empty() ? static_cast<double>(input.student.embeddings.size(0))
                                   : static_cast<double>(input.offsets.size() - 1);
    case Unit::kTokens:
      return static_cast<double>(input.offsets.back());
    case Unit::kSquares:
      for (std::size_t i = 0; i + 1 < input.offsets.size(); ++i) {
        const auto length = static_cast<double>(input.offsets[i + 1] - input.offsets[i]);
        sum += length * length;
      }
      return sum;
    case Unit::kBatch:
      return 1;
  }
  fail(ErrorKind::kInternal, "an unknown unit");
}

at::Tensor LayerLoss::compute(const LossInput& input) {
  if (input.student.layers.size() != num_places_) {
    fail(ErrorKind::kInternal, "{} layers, set up for {}", input.student.layers.size(), num_places_);
  }
  at::Tensor sum;
  for (std::size_t i = 0; i < num_places_; ++i) {
    const at::Tensor value = of_place(input.student.layers[i], input.teacher.layers[i], i, input);
    sum = sum.defined() ? sum + value : value;
  }
  return mean_ ? sum / static_cast<double>(num_places_) : sum;
}

}  // namespace penjing::distill
