#pragma once

#include <functional>
#include <vector>

namespace penjing {

struct LbfgsOptions {
  int memory = 10;
  int max_iterations = 1000;
  double tolerance = 1e-6;  // largest component of the gradient
};
struct LbfgsResult {
  int iterations = 0;
  double value = 0;
  bool converged = false;  // false: iterations spent, or no step lowers the value any more
};

// Minimises a smooth function from x, in place (Nocedal and Wright 2006, algorithm 7.5; the line search for
// the weak Wolfe conditions by bisection: Lewis and Overton 2013). `evaluate` returns the value at x and
// fills the gradient. Honours Ctrl-C between iterations.
using Objective = std::function<double(const std::vector<double>& x, std::vector<double>& gradient)>;
LbfgsResult minimize_lbfgs(const Objective& evaluate, std::vector<double>& x, const LbfgsOptions& options);

}  // namespace penjing
