#include "eval/metrics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace penjing {

namespace {

double ratio(double above, double below) {
  return below > 0 ? above / below : 0;
}

}  // namespace

double accuracy(std::span<const int> truth, std::span<const int> predicted) {
  double right = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) right += truth[i] == predicted[i];
  return ratio(right, static_cast<double>(truth.size()));
}

double binary_f1(std::span<const int> truth, std::span<const int> predicted, int positive) {
  double both = 0, either = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    both += truth[i] == positive && predicted[i] == positive;
    either += (truth[i] == positive) + (predicted[i] == positive);
  }
  return ratio(2 * both, either);
}

double macro_f1(std::span<const int> truth, std::span<const int> predicted) {
  std::set<int> classes(truth.begin(), truth.end());
  classes.insert(predicted.begin(), predicted.end());
  double sum = 0;
  for (const int c : classes) sum += binary_f1(truth, predicted, c);
  return ratio(sum, static_cast<double>(classes.size()));
}

double matthews(std::span<const int> truth, std::span<const int> predicted) {
  std::map<int, double> true_count, predicted_count;
  double right = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    right += truth[i] == predicted[i];
    ++true_count[truth[i]];
    ++predicted_count[predicted[i]];
  }
  const auto n = static_cast<double>(truth.size());
  double cross = 0, true_squares = 0, predicted_squares = 0;
  for (const auto& [c, count] : true_count) {
    true_squares += count * count;
    if (const auto found = predicted_count.find(c); found != predicted_count.end())
      cross += count * found->second;
  }
  for (const auto& [c, count] : predicted_count) predicted_squares += count * count;
  return ratio(right * n - cross, std::sqrt((n * n - predicted_squares) * (n * n - true_squares)));
}

double ndcg_at(std::span<const double> ranked, std::span<const double> all, std::size_t k) {
  const auto gain = [k](std::span<const double> relevances) {
    double sum = 0;
    for (std::size_t i = 0; i < std::min(k, relevances.size()); ++i)
      sum += relevances[i] / std::log2(static_cast<double>(i) + 2);
    return sum;
  };
  std::vector<double> ideal(all.begin(), all.end());
  std::sort(ideal.rbegin(), ideal.rend());
  return ratio(gain(ranked), gain(ideal));
}

double reciprocal_rank(std::span<const double> ranked, std::size_t k) {
  for (std::size_t i = 0; i < std::min(k, ranked.size()); ++i) {
    if (ranked[i] > 0) return 1.0 / static_cast<double>(i + 1);
  }
  return 0;
}

double average_precision(std::span<const double> ranked, std::size_t num_relevant) {
  double found = 0, sum = 0;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    if (ranked[i] <= 0) continue;
    found += 1;
    sum += found / static_cast<double>(i + 1);
  }
  return ratio(sum, static_cast<double>(num_relevant));
}

double recall_at(std::span<const double> ranked, std::size_t num_relevant, std::size_t k) {
  double found = 0;
  for (std::size_t i = 0; i < std::min(k, ranked.size()); ++i) found += ranked[i] > 0;
  return ratio(found, static_cast<double>(num_relevant));
}

std::vector<TagSpan> spans_of(std::span<const std::string> tags) {
  std::vector<TagSpan> spans;
  bool open = false;
  for (std::size_t i = 0; i < tags.size(); ++i) {
    const bool outside = tags[i] == "O" || tags[i].empty();
    const std::string type = outside ? "" : tags[i].substr(tags[i].size() > 1 && tags[i][1] == '-' ? 2 : 0);
    const bool continues = open && !outside && tags[i][0] != 'B' && spans.back().type == type;
    if (continues) {
      spans.back().end = i + 1;
    } else if (!outside) {
      spans.push_back({type, i, i + 1});
    }
    open = !outside;
  }
  return spans;
}

}  // namespace penjing
