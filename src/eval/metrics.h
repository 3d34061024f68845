#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/statistics.h"

namespace penjing {

// Scores of predictions against truths, class numbers from 0. Where a quotient has no denominator it is 0, as
// in scikit-learn (zero_division = 0).
double accuracy(std::span<const int> truth, std::span<const int> predicted);
// F1 of class `positive`: 2 TP / (2 TP + FP + FN).
double binary_f1(std::span<const int> truth, std::span<const int> predicted, int positive = 1);
// Mean of the classes' F1, over the classes that occur in truth or predictions.
double macro_f1(std::span<const int> truth, std::span<const int> predicted);
// Matthews correlation for any number of classes (Gorodkin 2004), 0 when a side has one class only.
double matthews(std::span<const int> truth, std::span<const int> predicted);

// One query's ranking: relevance of the documents in the order given by the system; `all` the relevances that
// exist. Gains are the relevances themselves, as in trec_eval.
double ndcg_at(std::span<const double> ranked, std::span<const double> all, std::size_t k);
double reciprocal_rank(std::span<const double> ranked, std::size_t k);
double average_precision(std::span<const double> ranked, std::size_t num_relevant);
double recall_at(std::span<const double> ranked, std::size_t num_relevant, std::size_t k);

// Spans (type, first, last) of IOB2 tags, as seqeval reads them by default: a span begins at B-, or at I-
// after another type or O.
struct TagSpan {
  std::string type;
  std::size_t begin = 0, end = 0;  // tokens [begin, end)
  bool operator==(const TagSpan&) const = default;
  auto operator<=>(const TagSpan&) const = default;
};
std::vector<TagSpan> spans_of(std::span<const std::string> tags);

}  // namespace penjing
