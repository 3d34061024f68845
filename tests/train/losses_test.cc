#include "train/losses.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"

namespace penjing::train {
namespace {

const Json& reference() {
  static const Json file = Json::parse(
      read_text_file(std::string(PENJING_SOURCE_DIR) + "/tests/data/losses_reference.json", 1 << 20),
      "losses_reference.json");
  return file;
}

at::Tensor tensor_of(const Json& value) {
  const Json::Array& items = value.as_array("tensor");
  if (!items.front().is_array()) {
    std::vector<double> numbers;
    for (const Json& item : items) numbers.push_back(item.as_double("tensor"));
    return at::tensor(numbers, at::kDouble);
  }
  std::vector<at::Tensor> rows;
  for (const Json& item : items) rows.push_back(tensor_of(item));
  return at::stack(rows);
}

at::Tensor stored(const char* name) {
  return tensor_of(*reference().find(name));
}

using Loss = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

// Value / weight and gradients / weight against PyTorch's, then gradients against central differences.
void check(const char* name, double weight, const Loss& loss) {
  SCOPED_TRACE(name);
  const Json& wanted = *reference().find("cases")->find(name);
  std::vector<at::Tensor> inputs;
  for (const Json& input : wanted.find("inputs")->as_array(name))
    inputs.push_back(stored(input.as_string(name).c_str()).requires_grad_(true));
  const at::Tensor value = loss(inputs);
  EXPECT_NEAR(value.item<double>() / weight, wanted.find("value")->as_double(name), 1e-12);
  const auto gradients = torch::autograd::grad({value}, inputs);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor expected = tensor_of(wanted.find("gradients")->as_array(name)[i]);
    EXPECT_LT((gradients[i] / weight - expected).abs().max().item<double>(), 1e-11) << "input " << i;
  }
  at::NoGradGuard no_gradient;
  constexpr double kStep = 1e-5;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    auto* x = inputs[i].data_ptr<double>();
    const at::Tensor flat = gradients[i].contiguous();
    for (int64_t j = 0; j < inputs[i].numel(); ++j) {
      const double before = x[j];
      x[j] = before + kStep;
      const double up = loss(inputs).item<double>();
      x[j] = before - kStep;
      const double down = loss(inputs).item<double>();
      x[j] = before;
      EXPECT_NEAR((up - down) / (2 * kStep), flat.data_ptr<double>()[j], 1e-6)
          << "input " << i << " at " << j;
    }
  }
}

constexpr double kRows = 6;

TEST(Losses, CrossEntropyIsTorchs) {
  const at::Tensor targets = stored("targets").to(at::kLong), weights = stored("weights");
  const at::Tensor counted = targets.index_select(0, at::tensor({0, 1, 2, 4, 5}, at::kLong));
  const double weight_sum = weights.index_select(0, counted).sum().item<double>();
  check("cross_entropy", 5, [&](const auto& x) { return cross_entropy(x[0], targets); });
  check("cross_entropy_weighted", weight_sum, [&](const auto& x) {
    return cross_entropy(x[0], targets, {weights, 0});
  });
  check("cross_entropy_smoothed", 5, [&](const auto& x) { return cross_entropy(x[0], targets, {{}, 0.1}); });
  check("cross_entropy_both", weight_sum, [&](const auto& x) {
    return cross_entropy(x[0], targets, {weights, 0.2});
  });
  EXPECT_THROW(cross_entropy(stored("logits"), targets, {{}, 1.0}), Error);
}

TEST(Losses, BinaryCrossEntropyAndSquaredErrorAreTorchs) {
  const at::Tensor multi = stored("multi"), weights = stored("weights"), scores = stored("scores");
  check("binary_cross_entropy", kRows, [&](const auto& x) { return multi_label_cross_entropy(x[0], multi); });
  check("binary_cross_entropy_weighted", kRows,
        [&](const auto& x) { return multi_label_cross_entropy(x[0], multi, weights); });
  check("squared_error", kRows, [&](const auto& x) { return squared_error(x[0], scores); });
}

TEST(Losses, MultipleNegativesIsSentenceTransformers) {
  check("multiple_negatives", kRows, [](const auto& x) { return multiple_negatives(x[0], x[1]); });
  check("multiple_negatives_symmetric", kRows, [](const auto& x) {
    return multiple_negatives(x[0], x[1], {20, true, {}});
  });
  check("multiple_negatives_hard", kRows, [](const auto& x) {
    return multiple_negatives(x[0], at::cat({x[1], x[2]}));
  });
}

TEST(Losses, AnExcludedCandidateCountsForNothing) {
  const at::Tensor a = stored("a"), b = stored("b"), c = stored("c");
  at::Tensor excluded = at::zeros({6, 12}, at::kBool);
  excluded.narrow(1, 6, 6).fill_(true);
  const double without = multiple_negatives(a, b).item<double>();
  EXPECT_NEAR(multiple_negatives(a, at::cat({b, c}), {20, false, excluded}).item<double>(), without, 1e-12);
  EXPECT_GT(multiple_negatives(a, at::cat({b, c})).item<double>(), without + 0.1);
}

TEST(Losses, TripletIsSentenceTransformers) {
  check("triplet_euclidean", kRows,
        [](const auto& x) { return triplet(x[0], x[1], x[2], Distance::kEuclidean, 1.0); });
  check("triplet_cosine", kRows,
        [](const auto& x) { return triplet(x[0], x[1], x[2], Distance::kCosine, 0.5); });
}

TEST(Losses, LossesOfPairsAreSentenceTransformers) {
  const at::Tensor scores = stored("scores"), same = stored("same");
  check("cosine_error", kRows, [&](const auto& x) { return cosine_error(x[0], x[1], scores); });
  check("cosent", kRows, [&](const auto& x) { return cosent(x[0], x[1], scores); });
  check("contrastive", kRows, [&](const auto& x) { return contrastive(x[0], x[1], same); });
}

}  // namespace
}  // namespace penjing::train
