#include "distill/connections.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "distill/attention_heads.h"
#include "distill/projection_init.h"
#include "distill/sequence_numerics.h"

namespace penjing::distill {

namespace {

at::Tensor widened(const at::Tensor& x) {
  return !x.defined() || x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

const LayerOutputs& layer_of(const Outputs& outputs, int64_t layer) {
  if (layer >= static_cast<int64_t>(outputs.layers.size())) {
    fail(ErrorKind::kInternal, "layer {} of {}", layer, outputs.layers.size());
  }
  return outputs.layers[static_cast<std::size_t>(layer)];
}

// What the term reads of a layer: first tokens alone where it wants no other, and heads of both sides as its
// map matches them.
LayerOutputs matched(const LayerOutputs& layer, const LayerOutputs& other, const LossTerm& term,
                     std::span<const int64_t> offsets, bool student) {
  LayerOutputs out = layer;
  if ((term.needs & kFirst) != 0)
    out.rows = layer.first.defined() ? layer.first : first_rows(layer.rows, offsets);
  if ((term.needs & (kScores | kAttention)) == 0 || term.heads.rule == "equal") return out;
  const bool probabilities = (term.needs & kAttention) != 0;
  for (std::size_t i = 0; i < layer.scores.size(); ++i) {
    if (term.heads.rule == "mean") {
      const int64_t heads = std::min(layer.scores[i].size(0), other.scores[i].size(0));
      out.scores[i] = mean_heads(widened(layer.scores[i]), heads, probabilities);
    } else {
      std::vector<int64_t> picked;
      for (const LayerPair& pair : term.heads.pairs) picked.push_back(student ? pair.student : pair.teacher);
      out.scores[i] =
          layer.scores[i].index_select(0, at::tensor(picked, at::kLong).to(layer.scores[i].device()));
    }
  }
  return out;
}

// Tensors of layers mixed with the weights [layers], which sum to 1.
LayerOutputs mixture_of(const std::vector<LayerOutputs>& layers, const at::Tensor& weights,
                        const LossTerm& term) {
  LayerOutputs out;
  out.num_heads = layers.front().num_heads;
  if ((term.needs & kStates) != 0) {
    std::vector<at::Tensor> rows;
    for (const LayerOutputs& layer : layers) rows.push_back(widened(layer.rows.detach()));
    out.rows = at::tensordot(weights, at::stack(rows), {0}, {0});
  }
  if ((term.needs & (kScores | kAttention)) != 0) {
    for (std::size_t i = 0; i < layers.front().scores.size(); ++i) {
      std::vector<at::Tensor> scores;
      for (const LayerOutputs& layer : layers) scores.push_back(widened(layer.scores[i].detach()));
      out.scores.push_back(mix_scores(at::stack(scores), weights, (term.needs & kAttention) != 0));
    }
  }
  return out;
}

}  // namespace

Connections::Connections(Plan plan, const ModelShape& student, const ModelShape& teacher,
                         const ConnectionSetup& setup)
    : plan_(std::move(plan)) {
  const auto width = [](const ModelShape& shape, int64_t layer) {
    return shape.widths.at(static_cast<std::size_t>(layer));
  };
  for (const LossTerm& term : plan_.terms) {
    Term& out = terms_.emplace_back();
    LossSetup of_loss;
    of_loss.parameters = setup.parameters;
    of_loss.prefix = fmt::format("{}{}.", kLearnedPrefix, term.name);
    of_loss.mean_over_places = term.mean_over_layers;
    of_loss.num_examples = setup.num_examples;
    of_loss.example_labels = setup.example_labels;
    of_loss.seed = setup.seed;
    of_loss.type = setup.type;
    of_loss.student_logits = student.logits;
    of_loss.teacher_logits = teacher.logits;
    of_loss.student_embedding = student.embedding;
    of_loss.teacher_embedding = teacher.embedding;
    for (const LayerPair& pair : term.layers.pairs)
      of_loss.places.push_back({width(student, pair.student), width(teacher, pair.teacher)});
    for (const int64_t layer : term.layers.student)
      of_loss.places.push_back({width(student, layer), width(teacher, term.layers.teacher.front())});

    if (term.projection) {
      const bool of_embeddings = (term.needs & kEmbeddings) != 0;
      add_projections(
          term,
          of_embeddings ? std::vector<PlaceSizes>{{student.embedding, teacher.embedding}} : of_loss.places,
          setup, out);
      for (PlaceSizes& place : of_loss.places) place.student_width = place.teacher_width;
      if (of_embeddings) of_loss.student_embedding = of_loss.teacher_embedding;
    }
    if (term.layers.is_attention()) {
      const auto count = static_cast<int64_t>(term.layers.student.size() * term.layers.teacher.size());
      out.mixture = LearnedVector(of_loss, "layers", count, 0);
    }
    out.loss = term.kind->make(term.params, of_loss);
  }
}

void Connections::add_projections(const LossTerm& term, const std::vector<PlaceSizes>& sizes,
                                  const ConnectionSetup& setup, Term& out) {
  const Projection& projection = *term.projection;
  LossSetup learned;
  learned.parameters = setup.parameters;
  learned.prefix = std::string(kLearnedPrefix) + "projection.";
  learned.seed = setup.seed;
  learned.type = setup.type;
  for (std::size_t i = 0; i < (projection.per_layer ? sizes.size() : 1); ++i) {
    const std::string name =
        projection.per_layer ? fmt::format("{}.{}", projection.name, i) : projection.name;
    auto found = projections_.find(name);
    if (found == projections_.end()) {
      const auto [in, width] = sizes[i];
      found =
          projections_
              .emplace(name, LearnedLinear(learned, name, in, width, projection.bias, projection.deviation))
              .first;
      if (projection.init != "normal") {
        const at::NoGradGuard no_gradient;
        at::Tensor weight = setup.parameters->at(learned.prefix + name + ".weight");
        weight.copy_(projection_weight(projection.init, in, width, setup.student_words, setup.teacher_words));
      }
    }
    out.projections.push_back(found->second);
  }
}

Side Connections::student_side(std::size_t index, const DistillBatch& batch) const {
  const LossTerm& term = plan_.terms[index];
  const Outputs& from = batch.student;
  Side side{(term.needs & kTokenLogits) != 0 ? from.token_logits : from.logits, from.embeddings, {}};
  for (const LayerPair& pair : term.layers.pairs) {
    side.layers.push_back(matched(layer_of(from, pair.student), layer_of(batch.teacher, pair.teacher), term,
                                  batch.offsets, true));
  }
  for (const int64_t layer : term.layers.student) {
    side.layers.push_back(matched(layer_of(from, layer), layer_of(batch.teacher, term.layers.teacher.front()),
                                  term, batch.offsets, true));
  }
  const std::vector<LearnedLinear>& projections = terms_[index].projections;
  if (projections.empty()) return side;
  if ((term.needs & kEmbeddings) != 0) side.embeddings = projections.front()(widened(side.embeddings));
  for (std::size_t i = 0; i < side.layers.size(); ++i) {
    at::Tensor& rows = side.layers[i].rows;
    rows = projections[projections.size() == 1 ? 0 : i](widened(rows));
  }
  return side;
}

Side Connections::teacher_side(std::size_t index, const DistillBatch& batch) const {
  const LossTerm& term = plan_.terms[index];
  const Outputs& from = batch.teacher;
  Side side{(term.needs & kTokenLogits) != 0 ? from.token_logits : from.logits, from.embeddings, {}};
  for (const LayerPair& pair : term.layers.pairs) {
    side.layers.push_back(matched(layer_of(from, pair.teacher), layer_of(batch.student, pair.student), term,
                                  batch.offsets, false));
  }
  if (!term.layers.is_attention()) return side;
  const auto layers = static_cast<int64_t>(term.layers.teacher.size());
  const at::Tensor weights = at::softmax(terms_[index].mixture().view({-1, layers}), -1);
  for (std::size_t i = 0; i < term.layers.student.size(); ++i) {
    std::vector<LayerOutputs> mixed;
    for (const int64_t layer : term.layers.teacher) {
      mixed.push_back(matched(layer_of(from, layer), layer_of(batch.student, term.layers.student[i]), term,
                              batch.offsets, false));
    }
    side.layers.push_back(mixture_of(mixed, weights.select(0, static_cast<int64_t>(i)), term));
  }
  if (side.logits.defined()) side.logits = side.logits.detach();
  if (side.embeddings.defined()) side.embeddings = side.embeddings.detach();
  return side;
}

std::vector<PlannedLoss> Connections::losses(const DistillBatch& batch) {
  std::vector<PlannedLoss> out;
  std::vector<int64_t> single(batch.offsets.size());  // sequences of one token
  std::iota(single.begin(), single.end(), 0);
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    const LossTerm& term = plan_.terms[i];
    const double weight = weight_at(term, batch.progress);
    if (weight == 0) continue;
    const Side student = student_side(i, batch), teacher = teacher_side(i, batch);
    const LossInput input{student,
                          teacher,
                          (term.needs & kFirst) != 0 ? single : batch.offsets,
                          batch.examples,
                          (term.needs & kTokenLogits) != 0 ? batch.token_labels : batch.labels,
                          batch.random,
                          batch.progress,
                          batch.training,
                          !term.layers.is_attention()};
    Loss& loss = *terms_[i].loss;
    out.push_back({term.name, weight * terms_[i].factor, loss.value(input), loss.units(input),
                   loss.relates_examples()});
  }
  return out;
}

void Connections::set_factors(std::span<const double> factors) {
  if (factors.size() != terms_.size())
    fail(ErrorKind::kFormat, "{} factors of {} losses", factors.size(), terms_.size());
  for (std::size_t i = 0; i < terms_.size(); ++i) terms_[i].factor = factors[i];
}

std::vector<double> Connections::factors() const {
  std::vector<double> out;
  for (const Term& term : terms_) out.push_back(term.factor);
  return out;
}

unsigned Connections::layer_needs(int64_t layer, double progress, bool of_student) const {
  unsigned needs = 0;
  for (const LossTerm& term : plan_.terms) {
    if (weight_at(term, progress) == 0) continue;
    const std::vector<int64_t>& mixed = of_student ? term.layers.student : term.layers.teacher;
    bool reads = std::find(mixed.begin(), mixed.end(), layer) != mixed.end();
    for (const LayerPair& pair : term.layers.pairs)
      reads = reads || (of_student ? pair.student : pair.teacher) == layer;
    if (reads) needs |= term.needs & kLayered;
  }
  return needs;
}

unsigned Connections::student_needs(int64_t layer, double progress) const {
  return layer_needs(layer, progress, true);
}

unsigned Connections::teacher_needs(int64_t layer, double progress) const {
  return layer_needs(layer, progress, false);
}

unsigned Connections::whole_needs(double progress) const {
  unsigned needs = 0;
  for (const LossTerm& term : plan_.terms) {
    if (weight_at(term, progress) != 0)
      needs |= term.needs & (kLogits | kTokenLogits | kEmbeddings | kLabels);
  }
  return needs;
}

bool Connections::relates_examples() const {
  return std::any_of(terms_.begin(), terms_.end(), [](const Term& t) { return t.loss->relates_examples(); });
}

bool Connections::sums_over_examples() const {
  return std::all_of(terms_.begin(), terms_.end(), [](const Term& t) {
    return t.loss->unit() == Unit::kSequences || t.loss->unit() == Unit::kLogitRows;
  });
}

TensorMap Connections::state() const {
  TensorMap out;
  for (const Term& term : terms_) {
    for (const TensorMap::Entry& entry : term.loss->state()) out.set(entry.name, entry.tensor);
  }
  return out;
}

void Connections::restore(const TensorMap& state) {
  for (Term& term : terms_) term.loss->restore(state);
}

}  // namespace penjing::distill
