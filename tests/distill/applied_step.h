#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

#include "compress/params.h"
#include "distill/methods.h"

namespace penjing::testing {

inline const Method& distillation_method(std::string_view name) {
  const auto methods = distill::distillation_methods();
  const auto found = std::find_if(methods.begin(), methods.end(),
                                  [&](const Method* method) { return method->name == name; });
  if (found == methods.end()) ADD_FAILURE() << "no method " << name;
  return **found;
}

// A recipe's step of a method of distill/methods, one thread.
struct AppliedStep {
  Model model;
  MethodReport report;
};
inline AppliedStep apply_step(std::string_view name, const Model& start, const Json& given,
                              const std::filesystem::path& work,
                              const std::filesystem::path& first_model = {}) {
  const Method& method = distillation_method(name);
  MethodContext context;
  context.work_folder = work;
  context.threads = 1;
  context.note = [](const std::string&) {};
  if (!first_model.empty()) context.first_model = first_model;
  AppliedStep step;
  step.model = method.apply(start, resolve_params(method, given), context, step.report);
  return step;
}

// What such a step is given for the classes of `data` (train.tsv, dev.tsv): two epochs.
inline Json two_epochs(const std::filesystem::path& data, double learning_rate = 2e-3) {
  return Json::object({{"task", "classification"},
                       {"data", data.string()},
                       {"epochs", 2},
                       {"batch_size", 4},
                       {"learning_rate", learning_rate}});
}

// Every tensor of `wanted` is in `got`, bit for bit.
inline void expect_same_tensors(const Model& got, const Model& wanted, const std::string& what = {}) {
  for (const auto& [name, tensor] : wanted.tensors)
    EXPECT_TRUE(std::ranges::equal(got.tensors.at(name).bytes, tensor.bytes)) << what << " " << name;
}

}  // namespace penjing::testing
