#include "train/weight_average.h"

#include <gtest/gtest.h>

namespace penjing::train {
namespace {

TEST(WeightAverage, FollowsItsFormulaAndChangesPlaces) {
  Parameters parameters;
  parameters.add("w", at::full({2}, 1.0));
  WeightAverage average(parameters, 0.75);
  double wanted = 1;
  at::Tensor w = parameters.at("w").detach();  // shares the parameter
  for (const double value : {3.0, -2.0, 5.0}) {
    w.fill_(value);
    average.update(parameters);
    wanted = 0.75 * wanted + 0.25 * value;
  }
  average.exchange(parameters);
  EXPECT_NEAR(w[0].item<double>(), wanted, 1e-6);
  const TensorMap weights = average.save(parameters);
  EXPECT_EQ(read_floats(weights.at("w"), "w"), (std::vector<float>{5, 5}));
  average.exchange(parameters);
  EXPECT_EQ(w[0].item<float>(), 5.0f);

  WeightAverage loaded(parameters, 0.75);
  loaded.load(parameters, average.save(parameters));
  w.fill_(7);
  average.update(parameters);
  loaded.update(parameters);
  EXPECT_EQ(read_floats(average.save(parameters).at("w"), "w"),
            read_floats(loaded.save(parameters).at("w"), "w"));
}

}  // namespace
}  // namespace penjing::train
