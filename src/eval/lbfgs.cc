#include "eval/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

#include "base/interrupt.h"

namespace penjing {

namespace {

using Vector = std::vector<double>;

constexpr double kSufficientDecrease = 1e-4, kCurvature = 0.9;
constexpr int kMaxTrials = 60;  // of one line search: beyond, steps are below the numbers' spacing

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double largest(const Vector& a) {
  double most = 0;
  for (const double v : a) most = std::max(most, std::fabs(v));
  return most;
}

struct Pair {
  Vector step, change;  // s = x' - x, y = g' - g
  double rho = 0;       // 1 / s.y
};

// -H g by the two-loop recursion.
Vector direction_of(const std::deque<Pair>& pairs, const Vector& gradient) {
  Vector q(gradient.size());
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = -gradient[i];
  std::vector<double> alpha(pairs.size());
  for (std::size_t p = pairs.size(); p-- > 0;) {
    alpha[p] = pairs[p].rho * dot(pairs[p].step, q);
    for (std::size_t i = 0; i < q.size(); ++i) q[i] -= alpha[p] * pairs[p].change[i];
  }
  if (!pairs.empty()) {
    const Pair& last = pairs.back();
    const double scale = 1 / (last.rho * dot(last.change, last.change));
    for (double& v : q) v *= scale;
  }
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    const double beta = pairs[p].rho * dot(pairs[p].change, q);
    for (std::size_t i = 0; i < q.size(); ++i) q[i] += (alpha[p] - beta) * pairs[p].step[i];
  }
  return q;
}

}  // namespace

LbfgsResult minimize_lbfgs(const Objective& evaluate, Vector& x, const LbfgsOptions& options) {
  LbfgsResult result;
  Vector gradient(x.size()), next(x.size()), next_gradient(x.size());
  result.value = evaluate(x, gradient);
  std::deque<Pair> pairs;
  while (true) {
    check_interrupt();
    if (largest(gradient) <= options.tolerance) {
      result.converged = true;
      return result;
    }
    if (result.iterations >= options.max_iterations) return result;
    Vector direction = direction_of(pairs, gradient);
    double slope = dot(direction, gradient);
    if (!(slope < 0)) {  // rounding has spoilt the pairs
      if (pairs.empty()) return result;
      pairs.clear();
      continue;
    }
    double low = 0, high = std::numeric_limits<double>::infinity();
    double t = pairs.empty() ? std::min(1.0, 1 / std::sqrt(dot(gradient, gradient))) : 1;
    double value = result.value;
    bool found = false;
    for (int trial = 0; trial < kMaxTrials && !found; ++trial) {
      for (std::size_t i = 0; i < x.size(); ++i) next[i] = x[i] + t * direction[i];
      value = evaluate(next, next_gradient);
      if (!(value <= result.value + kSufficientDecrease * t * slope)) {
        high = t;
      } else if (dot(next_gradient, direction) < kCurvature * slope) {
        low = t;
      } else {
        found = true;
        break;
      }
      t = std::isinf(high) ? 2 * low : (low + high) / 2;
    }
    if (!found) {
      if (pairs.empty()) return result;
      pairs.clear();
      continue;
    }
    Pair pair{Vector(x.size()), Vector(x.size()), 0};
    for (std::size_t i = 0; i < x.size(); ++i) {
      pair.step[i] = next[i] - x[i];
      pair.change[i] = next_gradient[i] - gradient[i];
    }
    const double curvature = dot(pair.step, pair.change);
    if (curvature > 0) {
      pair.rho = 1 / curvature;
      pairs.push_back(std::move(pair));
      if (pairs.size() > static_cast<std::size_t>(options.memory)) pairs.pop_front();
    }
    x.swap(next);
    gradient.swap(next_gradient);
    result.value = value;
    ++result.iterations;
  }
}

}  // namespace penjing
