#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/model/formula_weights.h"
#include "tests/train/reference_file.h"
#include "train/parameters.h"

namespace penjing::testing {

// The norm of the difference to a gradient that an oracle kept as products with vectors of signs ("probes",
// tools/oracles/train_reference.py), estimated by them.
inline double gradient_distance(const std::string& name, const at::Tensor& tensor, const Json& stored) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous();
  const std::vector<double> wanted = doubles(*stored.find("probes"));
  double square = 0;
  for (std::size_t p = 0; p < wanted.size(); ++p) {
    const std::string key = name + "#" + std::to_string(p);
    double product = 0;
    for (int64_t i = 0; i < flat.numel(); ++i) {
      const bool negative = (formula_number(key, static_cast<uint64_t>(i)) >> 63) != 0;
      product += negative ? -flat.data_ptr<double>()[i] : flat.data_ptr<double>()[i];
    }
    square += (product - wanted[p]) * (product - wanted[p]);
  }
  return std::sqrt(square / static_cast<double>(wanted.size()));
}

// Every parameter has a gradient, within `tolerance` of its norm and a millionth of that of all: the gradient
// of a key's bias is mathematically zero.
inline void expect_gradients(const Json& gradients, const train::Parameters& parameters, double tolerance,
                             const std::string& what) {
  double global = 0;
  for (const auto& [name, stored] : gradients.as_object("gradients"))
    global += std::pow(stored.find("norm")->as_double("norm"), 2);
  global = std::sqrt(global);
  std::size_t compared = 0;
  for (const train::Parameters::Entry& entry : parameters) {
    const Json* stored = gradients.find(entry.name);
    ASSERT_NE(stored, nullptr) << what << " " << entry.name;
    ++compared;
    ASSERT_TRUE(entry.tensor.grad().defined()) << what << " " << entry.name;
    const double norm = stored->find("norm")->as_double("norm");
    EXPECT_LE(gradient_distance(entry.name, entry.tensor.grad(), *stored), tolerance * norm + 1e-6 * global)
        << what << " " << entry.name;
  }
  EXPECT_EQ(compared, gradients.as_object("gradients").size()) << what;
}

}  // namespace penjing::testing
