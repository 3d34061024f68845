#include "distill/balance.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace penjing::distill {

double peak_of(const LossTerm& term) {
  const double last = std::nextafter(term.to, 0.0);  // term.to is no part of most stages
  const double largest = term.weight >= term.end_weight ? term.from : std::min(term.from + term.ramp, last);
  return term.kind->begins == nullptr ? largest : std::max(largest, term.kind->begins(term.params));
}

std::vector<double> balance_factors(const Plan& plan, const std::function<double(std::size_t)>& length) {
  const auto wanted = [&](std::size_t term) {
    const double found = length(term);
    if (std::isfinite(found) && found > 0) return found;
    fail(ErrorKind::kInput,
         "balance: as the student starts {} has {} gradient at its encoder; give weights without balance",
         plan.terms[term].name, found == 0 ? "no" : "an infinite");
  };
  std::vector<double> factors(plan.terms.size(), 1);
  if (!has_balance(plan)) return factors;
  const LossTerm& first = plan.terms.front();
  const double reference = wanted(0) * std::max(first.weight, first.end_weight);
  for (std::size_t i = 1; i < plan.terms.size(); ++i) {
    if (plan.terms[i].balance > 0) factors[i] = plan.terms[i].balance * reference / wanted(i);
  }
  return factors;
}

}  // namespace penjing::distill
