#pragma once

#include <functional>
#include <vector>

#include "eval/logistic_regression.h"

namespace penjing {

enum class ClassWeights { kNone, kBalanced };  // kBalanced: n / (classes * rows of the class)

struct ProbeOptions {
  double c = 0;  // 0: chosen by cross-validation
  ClassWeights class_weights = ClassWeights::kNone;
  int folds = 5;
  uint64_t seed = 1;                                            // of the folds
  std::function<void(double c, double accuracy)> on_candidate;  // after each C of the cross-validation
};

struct LinearProbe {
  LinearClassifier classifier;
  double c = 0;
  struct Candidate {
    double c = 0, accuracy = 0;  // mean over the folds
  };
  std::vector<Candidate> candidates;  // in rising C; empty when C was given
  int iterations = 0;
  bool converged = false;
};

// Logistic regression on rows of embeddings (Alain and Bengio 2016 call such a thing a probe). Without a C,
// candidates 0.1, 0.3, 1, ... 1000 are tried by stratified cross-validation, each fit starting from the one
// before; the search ends after two candidates in a row that are no better than the best. The smallest of
// equals wins.
LinearProbe fit_linear_probe(const std::vector<std::vector<float>>& rows, const std::vector<int>& classes,
                             int num_classes, const ProbeOptions& options = {}, ThreadPool* pool = nullptr);

// The fold of each row: classes spread evenly, in an order drawn with the seed.
std::vector<int> stratified_folds(std::span<const int> classes, int num_classes, int folds, uint64_t seed);

}  // namespace penjing
