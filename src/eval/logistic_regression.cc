#include "eval/logistic_regression.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "eval/lbfgs.h"
#include "eval/matrix_product.h"

namespace penjing {

namespace {

constexpr int64_t kBlock = 64;   // rows of data that go through the products together
constexpr int64_t kChunks = 32;  // partial sums of the gradient: a fixed number, so that sums do not depend
                                 // on the number of threads

int64_t round_up(int64_t n, int64_t step) {
  return (n + step - 1) / step * step;
}

// x = [weights: outputs x width | biases: outputs]; one output for two classes.
class LogisticLoss {
 public:
  LogisticLoss(const LabelledRows& data, std::span<const double> weights, double c, ThreadPool* pool)
      : data_(data),
        weights_(weights.begin(), weights.end()),
        pool_(pool),
        outputs_(data.num_classes() == 2 ? 1 : data.num_classes()),
        stride_(round_up(data.width(), kProductColumns)),
        chunk_rows_(round_up((data.size() + kChunks - 1) / kChunks, kBlock)) {
    if (weights_.empty()) weights_.assign(static_cast<std::size_t>(data.size()), 1.0);
    double total = 0;
    for (const double s : weights_) total += s;
    if (!(total > 0)) fail(ErrorKind::kInput, "logistic regression: all rows have weight 0");
    row_scale_ = 1 / total;
    penalty_ = 1 / (c * total);
    partials_.resize(static_cast<std::size_t>(kChunks));
  }

  int64_t num_parameters() const { return outputs_ * (data_.width() + 1); }

  double operator()(const std::vector<double>& x, std::vector<double>& gradient) {
    const auto run = [&](int64_t chunk) { run_chunk(x, chunk); };
    if (pool_ != nullptr) {
      pool_->parallel_for(kChunks, [&](int64_t chunk, int) { run(chunk); });
    } else {
      for (int64_t chunk = 0; chunk < kChunks; ++chunk) run(chunk);
    }
    const int64_t width = data_.width(), num_weights = outputs_ * width;
    double value = 0;
    std::fill(gradient.begin(), gradient.end(), 0.0);
    for (const Partial& partial : partials_) {
      value += partial.value;
      if (partial.weights.empty()) continue;
      for (int64_t k = 0; k < outputs_; ++k) {
        for (int64_t j = 0; j < width; ++j)
          gradient[at(k * width + j)] += partial.weights[at(k * stride_ + j)];
        gradient[at(num_weights + k)] += partial.biases[at(k)];
      }
    }
    for (int64_t i = 0; i < num_weights; ++i) {
      gradient[at(i)] += penalty_ * x[at(i)];
      value += 0.5 * penalty_ * x[at(i)] * x[at(i)];
    }
    return value;
  }

 private:
  struct Partial {
    double value = 0;
    std::vector<double> weights, biases;  // sums of this chunk
    std::vector<double> rows, columns,
        scores;  // a block: [kBlock, stride], [width, kBlock], [outputs, kBlock]
  };

  static std::size_t at(int64_t i) { return static_cast<std::size_t>(i); }

  void run_chunk(const std::vector<double>& x, int64_t chunk) {
    Partial& p = partials_[at(chunk)];
    p.value = 0;
    const int64_t begin = chunk * chunk_rows_, end = std::min(begin + chunk_rows_, data_.size());
    if (begin >= end) return;
    p.weights.assign(at(outputs_ * stride_), 0.0);
    p.biases.assign(at(outputs_), 0.0);
    p.rows.resize(at(kBlock * stride_));
    p.columns.resize(at(data_.width() * kBlock));
    p.scores.resize(at(outputs_ * kBlock));
    for (int64_t first = begin; first < end; first += kBlock)
      run_block(x, first, std::min(first + kBlock, end), p);
  }

  void run_block(const std::vector<double>& x, int64_t first, int64_t last, Partial& p) {
    const int64_t width = data_.width(), num_weights = outputs_ * width;
    std::fill(p.rows.begin(), p.rows.end(), 0.0);
    std::fill(p.columns.begin(), p.columns.end(), 0.0);
    for (int64_t i = first; i < last; ++i) {
      const float* row = data_.row(i);
      for (int64_t j = 0; j < width; ++j) {
        p.rows[at((i - first) * stride_ + j)] = double{row[j]};
        p.columns[at(j * kBlock + i - first)] = double{row[j]};
      }
    }
    for (int64_t k = 0; k < outputs_; ++k)
      std::fill_n(p.scores.begin() + k * kBlock, kBlock, x[at(num_weights + k)]);
    add_product(x.data(), width, p.columns.data(), kBlock, p.scores.data(), kBlock, outputs_, width, kBlock);
    for (int64_t i = first; i < last; ++i) p.value += loss_of_row(i, p.scores.data() + (i - first));
    for (int64_t i = last; i < first + kBlock; ++i) {
      for (int64_t k = 0; k < outputs_; ++k) p.scores[at(k * kBlock + i - first)] = 0;
    }
    for (int64_t k = 0; k < outputs_; ++k) {
      for (int64_t i = 0; i < kBlock; ++i) p.biases[at(k)] += p.scores[at(k * kBlock + i)];
    }
    add_product(p.scores.data(), kBlock, p.rows.data(), stride_, p.weights.data(), stride_, outputs_, kBlock,
                stride_);
  }

  // The row's share of the loss; its scores (kBlock apart) become the derivatives of it by the scores.
  double loss_of_row(int64_t i, double* scores) const {
    const double weight = weights_[at(i)] * row_scale_;
    const int truth = data_.classes()[at(i)];
    if (outputs_ == 1) {
      const double z = truth == 1 ? scores[0] : -scores[0];
      const double e = std::exp(-std::fabs(z));
      const double loss = (z > 0 ? 0 : -z) + std::log1p(e);
      const double wrong = z > 0 ? e / (1 + e) : 1 / (1 + e);
      scores[0] = weight * (truth == 1 ? -wrong : wrong);
      return weight * loss;
    }
    double highest = scores[0], sum = 0;
    for (int64_t k = 1; k < outputs_; ++k) highest = std::max(highest, scores[k * kBlock]);
    const double own = scores[truth * kBlock] - highest;
    for (int64_t k = 0; k < outputs_; ++k) sum += scores[k * kBlock] = std::exp(scores[k * kBlock] - highest);
    for (int64_t k = 0; k < outputs_; ++k) scores[k * kBlock] *= weight / sum;
    scores[truth * kBlock] -= weight;
    return weight * (std::log(sum) - own);
  }

  const LabelledRows& data_;
  std::vector<double> weights_;
  ThreadPool* pool_;
  int64_t outputs_, stride_, chunk_rows_;
  double row_scale_ = 0, penalty_ = 0;
  std::vector<Partial> partials_;
};

LinearClassifier to_classifier(const LabelledRows& data, const std::vector<double>& x) {
  LinearClassifier classifier{data.num_classes(), data.width(), {}, {}};
  const auto outputs = static_cast<std::ptrdiff_t>(data.num_classes() == 2 ? 1 : data.num_classes());
  const std::ptrdiff_t num_weights = outputs * data.width();
  classifier.weight.assign(x.begin(), x.begin() + num_weights);
  classifier.bias.assign(x.begin() + num_weights, x.end());
  if (data.num_classes() != 2) return classifier;
  for (std::vector<double>* values : {&classifier.weight, &classifier.bias}) {
    const std::size_t half = values->size();
    values->resize(2 * half);
    for (std::size_t i = 0; i < half; ++i) {
      (*values)[half + i] = (*values)[i] / 2;
      (*values)[i] = -(*values)[half + i];
    }
  }
  return classifier;
}

}  // namespace

std::vector<double> LinearClassifier::logits(std::span<const float> row) const {
  std::vector<double> result(bias);
  for (std::size_t k = 0; k < result.size(); ++k) {
    const double* w = weight.data() + static_cast<int64_t>(k) * width;
    for (std::size_t j = 0; j < row.size(); ++j) result[k] += w[j] * double{row[j]};
  }
  return result;
}

int LinearClassifier::predict(std::span<const float> row) const {
  const auto values = logits(row);
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

LabelledRows::LabelledRows(const std::vector<std::vector<float>>& rows, std::vector<int> classes,
                           int num_classes)
    : classes_(std::move(classes)), num_classes_(num_classes) {
  if (rows.empty() || rows.size() != classes_.size())
    fail(ErrorKind::kInput, "classifier: {} rows and {} labels", rows.size(), classes_.size());
  if (num_classes < 2) fail(ErrorKind::kInput, "classifier: {} class, wanted 2 or more", num_classes);
  width_ = static_cast<int64_t>(rows.front().size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (static_cast<int64_t>(rows[i].size()) != width_)
      fail(ErrorKind::kInput, "classifier: row {} has {} numbers, the first {}", i, rows[i].size(), width_);
    if (classes_[i] < 0 || classes_[i] >= num_classes)
      fail(ErrorKind::kInput, "classifier: row {} is of class {}, wanted 0 to {}", i, classes_[i],
           num_classes - 1);
    for (const float v : rows[i]) {
      if (!std::isfinite(v)) fail(ErrorKind::kInput, "classifier: row {} is not finite", i);
    }
    values_.insert(values_.end(), rows[i].begin(), rows[i].end());
  }
}

LogisticFit fit_logistic(const LabelledRows& data, std::span<const double> weights,
                         const LogisticOptions& options, ThreadPool* pool, std::span<const double> start) {
  if (!(options.c > 0)) fail(ErrorKind::kInput, "C: {}, wanted above 0", options.c);
  if (!weights.empty() && static_cast<int64_t>(weights.size()) != data.size())
    fail(ErrorKind::kInput, "classifier: {} weights for {} rows", weights.size(), data.size());
  LogisticLoss loss(data, weights, options.c, pool);
  LogisticFit fit;
  fit.start.assign(static_cast<std::size_t>(loss.num_parameters()), 0.0);
  if (start.size() == fit.start.size()) std::copy(start.begin(), start.end(), fit.start.begin());
  const LbfgsResult result = minimize_lbfgs(
      [&](const std::vector<double>& x, std::vector<double>& gradient) { return loss(x, gradient); },
      fit.start, {10, options.max_iterations, options.tolerance});
  fit.classifier = to_classifier(data, fit.start);
  fit.iterations = result.iterations;
  fit.objective = result.value;
  fit.converged = result.converged;
  return fit;
}

}  // namespace penjing
