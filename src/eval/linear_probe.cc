#include "eval/linear_probe.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/rng.h"

namespace penjing {

namespace {

constexpr std::array kCandidates = {0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0};
constexpr double kSearchTolerance = 1e-5;  // accuracies move by 1e-4 against 1e-6

std::vector<double> row_weights(const LabelledRows& data, ClassWeights how) {
  std::vector<double> weights(static_cast<std::size_t>(data.size()), 1.0);
  if (how == ClassWeights::kNone) return weights;
  std::vector<double> counts(static_cast<std::size_t>(data.num_classes()), 0.0);
  for (const int c : data.classes()) counts[static_cast<std::size_t>(c)] += 1;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = static_cast<double>(data.size()) /
                 (data.num_classes() * counts[static_cast<std::size_t>(data.classes()[i])]);
  }
  return weights;
}

void choose_c(const LabelledRows& data, const std::vector<double>& weights, const ProbeOptions& options,
              ThreadPool* pool, LinearProbe& probe) {
  const std::vector<int> folds =
      stratified_folds(data.classes(), data.num_classes(), options.folds, options.seed);
  std::vector<std::vector<double>> starts(static_cast<std::size_t>(options.folds));
  double best = -1;
  int worse = 0;
  for (const double c : kCandidates) {
    double right = 0;
    for (int fold = 0; fold < options.folds; ++fold) {
      std::vector<double> kept = weights;
      for (std::size_t i = 0; i < kept.size(); ++i) kept[i] = folds[i] == fold ? 0 : kept[i];
      auto& start = starts[static_cast<std::size_t>(fold)];
      const LogisticFit fit = fit_logistic(data, kept, {c, kSearchTolerance, 1000}, pool, start);
      start = fit.start;
      for (int64_t i = 0; i < data.size(); ++i) {
        if (folds[static_cast<std::size_t>(i)] != fold) continue;
        const std::span<const float> row(data.row(i), static_cast<std::size_t>(data.width()));
        right += fit.classifier.predict(row) == data.classes()[static_cast<std::size_t>(i)] ? 1 : 0;
      }
    }
    const double accuracy = right / static_cast<double>(data.size());
    probe.candidates.push_back({c, accuracy});
    if (options.on_candidate) options.on_candidate(c, accuracy);
    if (accuracy > best) {
      best = accuracy;
      probe.c = c;
      worse = 0;
    } else if (++worse == 2) {
      return;
    }
  }
}

}  // namespace

std::vector<int> stratified_folds(std::span<const int> classes, int num_classes, int folds, uint64_t seed) {
  if (folds < 2) fail(ErrorKind::kInput, "folds: {}, wanted 2 or more", folds);
  if (classes.size() < static_cast<std::size_t>(folds))
    fail(ErrorKind::kInput, "{} rows cannot be cut into {} folds", classes.size(), folds);
  std::vector<int> fold_of(classes.size(), 0);
  Rng rng(seed);
  int next = 0;
  for (int k = 0; k < num_classes; ++k) {
    std::vector<std::size_t> rows;
    for (std::size_t i = 0; i < classes.size(); ++i) {
      if (classes[i] == k) rows.push_back(i);
    }
    for (std::size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[rng.below(i)]);
    for (const std::size_t row : rows) fold_of[row] = next++ % folds;
  }
  return fold_of;
}

LinearProbe fit_linear_probe(const std::vector<std::vector<float>>& rows, const std::vector<int>& classes,
                             int num_classes, const ProbeOptions& options, ThreadPool* pool) {
  const LabelledRows data(rows, classes, num_classes);
  const std::vector<double> weights = row_weights(data, options.class_weights);
  LinearProbe probe;
  probe.c = options.c;
  if (probe.c == 0) choose_c(data, weights, options, pool, probe);
  const LogisticFit fit = fit_logistic(data, weights, {probe.c}, pool);
  probe.classifier = fit.classifier;
  probe.iterations = fit.iterations;
  probe.converged = fit.converged;
  return probe;
}

}  // namespace penjing
