#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"

namespace penjing {

// y = argmax_k (w_k . x + b_k), weights [num_classes, width] row-major.
struct LinearClassifier {
  int num_classes = 0;
  int64_t width = 0;
  std::vector<double> weight, bias;

  std::vector<double> logits(std::span<const float> row) const;
  int predict(std::span<const float> row) const;  // the first of equals
};

// Rows of features with their classes, laid out for many passes: n * width floats.
class LabelledRows {
 public:
  // Rows of one width, all finite; classes in [0, num_classes). kInput otherwise, or when there is no row.
  LabelledRows(const std::vector<std::vector<float>>& rows, std::vector<int> classes, int num_classes);
  int64_t size() const { return static_cast<int64_t>(classes_.size()); }
  int64_t width() const { return width_; }
  int num_classes() const { return num_classes_; }
  std::span<const int> classes() const { return classes_; }
  const float* row(int64_t i) const { return values_.data() + i * width_; }

 private:
  std::vector<float> values_;
  std::vector<int> classes_;
  int64_t width_ = 0;
  int num_classes_ = 0;
};

struct LogisticOptions {
  double c = 1;               // larger: less regularised
  double tolerance = 1e-6;    // largest component of the gradient of the objective / (C sum_i s_i)
  int max_iterations = 1000;  // of L-BFGS
};
struct LogisticFit {
  LinearClassifier classifier;
  int iterations = 0;
  double objective = 0;  // divided by C sum_i s_i
  bool converged = false;
  std::vector<double> start;  // the solver's own form, to start a fit of the same rows from
};

// Minimises C sum_i s_i CE(softmax(W x_i + b), y_i) + 1/2 |W|^2, the bias free, as scikit-learn's
// LogisticRegression; two classes are one row w with logits -+ (w . x + b) / 2, as there. `weights` s_i: one
// a row, 0 leaves it out; empty: all 1. L-BFGS (Nocedal and Wright 2006, algorithm 7.5) with ten pairs and a
// line search for the weak Wolfe conditions (Lewis and Overton 2013), in FP64; sums are taken in an order
// that depends neither on threads nor on the instruction set. Honours Ctrl-C.
LogisticFit fit_logistic(const LabelledRows& data, std::span<const double> weights,
                         const LogisticOptions& options, ThreadPool* pool = nullptr,
                         std::span<const double> start = {});

}  // namespace penjing
