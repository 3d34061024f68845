#include "eval/logistic_regression.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/rng.h"
#include "eval/lbfgs.h"
#include "eval/matrix_product.h"
#include "tests/base/test_folder.h"

namespace penjing {
namespace {

struct Problem {
  std::vector<std::vector<float>> rows;
  std::vector<int> truth;
};

Problem random_problem(int count, int width, int classes, uint64_t seed) {
  Problem problem;
  Rng rng(seed);
  for (int i = 0; i < count; ++i) {
    std::vector<float> row(static_cast<std::size_t>(width));
    for (float& v : row) v = rng.normal();
    const int truth = static_cast<int>(rng.below(static_cast<uint64_t>(classes)));
    row[static_cast<std::size_t>(truth % width)] += 1;
    problem.rows.push_back(row);
    problem.truth.push_back(truth);
  }
  return problem;
}

// The optimum is scikit-learn's: its logits on the rows of small random problems, two classes and more, with
// and without class weights.
TEST(LogisticRegression, EqualsScikitLearn) {
  const Json reference = Json::parse(
      read_text_file(PENJING_SOURCE_DIR "/tests/data/logistic_reference.json", 1 << 22), "reference");
  for (const Json& c : reference.find("cases")->as_array("cases")) {
    Problem problem;
    for (const Json& row : c.find("rows")->as_array("rows")) {
      problem.rows.emplace_back();
      for (const Json& v : row.as_array("row"))
        problem.rows.back().push_back(static_cast<float>(v.as_double("v")));
    }
    for (const Json& v : c.find("truth")->as_array("truth"))
      problem.truth.push_back(static_cast<int>(v.as_int("v")));
    const int classes = static_cast<int>(c.find("classes")->as_int(""));
    const LabelledRows data(problem.rows, problem.truth, classes);
    std::vector<double> weights(problem.rows.size(), 1.0), counts(static_cast<std::size_t>(classes), 0.0);
    for (const int k : problem.truth) counts[static_cast<std::size_t>(k)] += 1;
    if (c.find("balanced")->as_bool("")) {
      for (std::size_t i = 0; i < weights.size(); ++i)
        weights[i] = static_cast<double>(weights.size()) /
                     (classes * counts[static_cast<std::size_t>(problem.truth[i])]);
    }
    const LogisticFit fit = fit_logistic(data, weights, {c.find("c")->as_double(""), 1e-9, 10000});
    EXPECT_TRUE(fit.converged);
    const auto& wanted = c.find("logits")->as_array("logits");
    for (std::size_t i = 0; i < problem.rows.size(); ++i) {
      const auto logits = fit.classifier.logits(problem.rows[i]);
      if (classes == 2) {
        EXPECT_NEAR(logits[1] - logits[0], wanted[i].as_double(""), 1e-5);
        continue;
      }
      // Softmax leaves a constant free: the mean is taken out of both.
      double ours = 0, theirs = 0;
      for (std::size_t k = 0; k < logits.size(); ++k)
        ours += logits[k], theirs += wanted[i].as_array("")[k].as_double("");
      for (std::size_t k = 0; k < logits.size(); ++k) {
        EXPECT_NEAR(logits[k] - ours / classes, wanted[i].as_array("")[k].as_double("") - theirs / classes,
                    1e-5);
      }
    }
  }
}

// The gradient of the loss at the optimum vanishes, by differences of the value at points around it; a row of
// weight 0 has no influence.
TEST(LogisticRegression, OptimumAndRowsLeftOut) {
  Problem problem = random_problem(150, 9, 4, 1);
  std::vector<double> weights(150, 1.0);
  for (std::size_t i = 100; i < 150; ++i) weights[i] = 0;
  const LogisticFit with =
      fit_logistic(LabelledRows(problem.rows, problem.truth, 4), weights, {2.0, 1e-9, 1000});
  problem.rows.resize(100), problem.truth.resize(100);
  const LabelledRows first(problem.rows, problem.truth, 4);
  const LogisticFit without = fit_logistic(first, {}, {2.0, 1e-9, 1000});
  for (std::size_t i = 0; i < with.classifier.weight.size(); ++i)
    EXPECT_NEAR(with.classifier.weight[i], without.classifier.weight[i], 1e-6);
  // From a start at the optimum nothing is left to do; from elsewhere the same point is found.
  EXPECT_EQ(fit_logistic(first, {}, {2.0, 1e-6, 1000}, nullptr, without.start).iterations, 0);
  std::vector<double> elsewhere(without.start.size(), 0.7);
  const LogisticFit again = fit_logistic(first, {}, {2.0, 1e-9, 1000}, nullptr, elsewhere);
  EXPECT_NEAR(again.objective, without.objective, 1e-12);
}

TEST(LogisticRegression, SameBitsOnAnyNumberOfThreads) {
  const Problem problem = random_problem(700, 33, 5, 2);
  const LabelledRows data(problem.rows, problem.truth, 5);
  ThreadPool pool(3);
  const LogisticFit one = fit_logistic(data, {}, {1.0}), three = fit_logistic(data, {}, {1.0}, &pool);
  EXPECT_EQ(one.classifier.weight, three.classifier.weight);
  EXPECT_EQ(one.classifier.bias, three.classifier.bias);
}

TEST(LogisticRegression, RefusesWhatItCannotFit) {
  using Rows = std::vector<std::vector<float>>;
  EXPECT_THROW(LabelledRows(Rows{}, {}, 2), Error);
  EXPECT_THROW(LabelledRows(Rows{{1}, {2}}, {0, 1}, 1), Error);
  EXPECT_THROW(LabelledRows(Rows{{1}, {2, 3}}, {0, 1}, 2), Error);
  EXPECT_THROW(LabelledRows(Rows{{1}, {2}}, {0, 2}, 2), Error);
  EXPECT_THROW(LabelledRows(Rows{{1}, {NAN}}, {0, 1}, 2), Error);
  const LabelledRows data(Rows{{1}, {2}}, {0, 1}, 2);
  EXPECT_THROW((void)fit_logistic(data, {}, {0.0}), Error);
  EXPECT_THROW((void)fit_logistic(data, std::vector<double>{0, 0}, {1.0}), Error);
  EXPECT_THROW((void)fit_logistic(data, std::vector<double>{1}, {1.0}), Error);
}

// Rosenbrock's valley from the usual start: the minimum is (1, 1).
TEST(Lbfgs, Rosenbrock) {
  std::vector<double> x = {-1.2, 1};
  const LbfgsResult result = minimize_lbfgs(
      [](const std::vector<double>& p, std::vector<double>& g) {
        const double a = 1 - p[0], b = p[1] - p[0] * p[0];
        g = {-2 * a - 400 * b * p[0], 200 * b};
        return a * a + 100 * b * b;
      },
      x, {10, 200, 1e-8});
  EXPECT_TRUE(result.converged);
  EXPECT_LT(result.iterations, 100);
  EXPECT_NEAR(x[0], 1, 1e-6);
  EXPECT_NEAR(x[1], 1, 1e-6);
}

TEST(MatrixProduct, EqualsTheChainInOrder) {
  Rng rng(3);
  for (const int rows : {1, 3, 4, 5, 9}) {
    const int depth = 7, columns = 32;
    std::vector<double> a(static_cast<std::size_t>(rows * depth)),
        b(static_cast<std::size_t>(depth * columns)), c(static_cast<std::size_t>(rows * columns), 0.5);
    for (double& v : a) v = rng.uniform();
    for (double& v : b) v = rng.uniform() - 0.5;
    std::vector<double> wanted = c;
    for (int r = 0; r < rows; ++r) {
      for (int n = 0; n < columns; ++n) {
        for (int k = 0; k < depth; ++k)
          wanted[static_cast<std::size_t>(r * columns + n)] +=
              a[static_cast<std::size_t>(r * depth + k)] * b[static_cast<std::size_t>(k * columns + n)];
      }
    }
    add_product(a.data(), depth, b.data(), columns, c.data(), columns, rows, depth, columns);
    EXPECT_EQ(c, wanted) << rows;
  }
}

}  // namespace
}  // namespace penjing
