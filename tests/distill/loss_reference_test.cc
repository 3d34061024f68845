// Every distillation loss against the numbers of an independent implementation (tools/oracles/
// distill_losses_reference.py), its gradients against finite differences, its value at equality, and what
// must not have an influence.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/distill/reference_case.h"

namespace penjing::distill::testing {
namespace {

// Largest difference relative to the wanted tensor's largest element.
double relative_error(const at::Tensor& value, const at::Tensor& wanted) {
  const double scale = std::max(wanted.abs().max().item<double>(), 1e-3);
  return (value.to(at::kDouble) - wanted).abs().max().item<double>() / scale;
}

at::Tensor gradient_of(const Json& wanted, const std::string& name, const at::Tensor& like) {
  const Json* values = wanted.find("gradients")->find(name);
  if (values == nullptr) ADD_FAILURE() << "the script has no gradient of " << name;
  if (values == nullptr || values->is_int()) return at::zeros(like.sizes(), at::kDouble);
  return at::tensor(doubles(*values), at::kDouble).view(like.sizes());
}

struct Errors {
  double value = 0, gradient = 0;
};

Errors errors_of(const Json& json, at::ScalarType type) {
  ReferenceCase it(json, type);
  SCOPED_TRACE(it.name());
  const at::Tensor value = it.value();
  EXPECT_EQ(value.scalar_type(), type);
  EXPECT_EQ(value.dim(), 0);
  Errors errors;
  errors.value =
      relative_error(value, at::scalar_tensor(json.find("value")->as_double("value"), at::kDouble));
  if (value.requires_grad()) value.backward();
  double largest = 0;  // of all gradients of the case
  for (const auto& [name, leaf] : it.leaves())
    largest = std::max(largest, gradient_of(json, name, leaf).abs().max().item<double>());
  for (const auto& [name, leaf] : it.leaves()) {
    const at::Tensor wanted = gradient_of(json, name, leaf);
    const at::Tensor found = leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf);
    if (wanted.abs().max().item<double>() < 1e-9) {
      // Of a bias before a batch norm, or at equality: what is left is rounding of terms that cancel.
      EXPECT_LE(found.abs().max().item<double>(),
                (type == at::kFloat ? 1e-6 : 1e-14) * std::max(1.0, largest))
          << "gradient of " << name;
      continue;
    }
    const double error = relative_error(found, wanted);
    EXPECT_LE(error, type == at::kFloat ? 1e-5 : 1e-9) << "gradient of " << name;
    errors.gradient = std::max(errors.gradient, error);
  }
  EXPECT_LE(errors.value, type == at::kFloat ? 1e-5 : 1e-12) << "value " << value.item<double>();
  return errors;
}

TEST(LossReference, ValuesAndGradientsInSinglePrecision) {
  std::map<std::string, Errors> worst;
  for (const Json* json : reference_cases()) {
    const Errors errors = errors_of(*json, at::kFloat);
    Errors& of_loss = worst[json->find("loss")->as_string("loss")];
    of_loss = {std::max(of_loss.value, errors.value), std::max(of_loss.gradient, errors.gradient)};
  }
  for (const auto& [loss, errors] : worst) {
    RecordProperty(loss, fmt::format("value {:.1e}, gradient {:.1e}", errors.value, errors.gradient));
  }
}

TEST(LossReference, ValuesAndGradientsInDoublePrecision) {
  for (const Json* json : reference_cases()) errors_of(*json, at::kDouble);
}

TEST(LossReference, GradientsAreFiniteDifferences) {
  constexpr double kStep = 1e-6;
  for (const Json* json : reference_cases()) {
    if (!json->find("smooth")->as_bool("smooth")) continue;
    ReferenceCase it(*json, at::kDouble);
    SCOPED_TRACE(it.name());
    const at::Tensor value = it.value();
    if (value.requires_grad()) value.backward();
    const at::NoGradGuard no_gradient;
    for (const auto& [name, leaf] : it.leaves()) {
      const at::Tensor gradient = leaf.grad().defined() ? leaf.grad().contiguous() : at::zeros_like(leaf);
      const double scale =
          std::max({gradient.abs().max().item<double>(), std::abs(value.item<double>()), 1e-2});
      auto* x = leaf.data_ptr<double>();
      for (int64_t i = 0; i < leaf.numel(); ++i) {
        const double before = x[i];
        x[i] = before + kStep;
        const double up = it.value().item<double>();
        x[i] = before - kStep;
        const double down = it.value().item<double>();
        x[i] = before;
        // The translator's goal is a constant of the loss, not of the paraphraser's weights.
        if (name.find("paraphraser") != std::string::npos && !it.input().training &&
            it.input().progress > 0.1)
          continue;
        ASSERT_NEAR((up - down) / (2 * kStep), gradient.data_ptr<double>()[i], 2e-6 * scale)
            << name << " at " << i;
      }
    }
  }
}

TEST(LossReference, ZeroWhereTeacherAndStudentAgree) {
  // Those whose formula has no learned map: 0, or the smallest that rounding leaves, and no gradient.
  const std::set<std::string> wanted = {"kd",           "mse",    "cosine",      "at",          "sp",
                                        "cc",           "rkd",    "pkt",         "fsp",         "nst",
                                        "attention_kl", "minilm", "feature_map", "contrastive", "margin_mse"};
  std::set<std::string> seen;
  for (const Json* json : reference_cases()) {
    if (!json->find("name")->as_string("name").ends_with("_equal")) continue;
    seen.insert(json->find("loss")->as_string("loss"));
    for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
      ReferenceCase it(*json, type);
      SCOPED_TRACE(it.name());
      const at::Tensor value = it.value();
      const double epsilon = type == at::kFloat ? 1e-6 : 1e-14;
      EXPECT_LE(std::abs(value.item<double>()), epsilon);
      value.backward();
      // pkt adds 1e-7 to probabilities inside the logarithm, so that equality is not quite its minimum.
      const double small = json->find("loss")->as_string("loss") == "pkt" ? 1e-6 : 10 * epsilon;
      for (const auto& [name, leaf] : it.leaves())
        EXPECT_LE(leaf.grad().abs().max().item<double>(), small) << name;
    }
  }
  EXPECT_EQ(seen, wanted);
}

// Names as users write them; the configure step looks for each here.
constexpr const char* kLosses[] = {
    "kd",  "mse",         "cosine",        "fitnet",       "at",     "sp",          "cc",
    "vid", "rkd",         "pkt",           "ab",           "ft",     "fsp",         "nst",
    "crd", "ofd",         "attention_mse", "attention_kl", "minilm", "feature_map", "masked_lm",
    "pkd", "contrastive", "margin_mse",    "adversarial"};

TEST(LossReference, EveryLossHasCases) {
  std::set<std::string> tested, listed, named(std::begin(kLosses), std::end(kLosses));
  for (const Json* json : reference_cases()) tested.insert(json->find("loss")->as_string("loss"));
  for (const LossKind* kind : all_losses()) listed.insert(kind->name);
  EXPECT_EQ(listed, tested);
  EXPECT_EQ(listed, named);
}

// Every form that a parameter chooses has a case.
TEST(LossReference, EveryFormHasACase) {
  for (const LossKind* kind : all_losses()) {
    for (const ParamInfo& info : kind->params()) {
      if (info.name != "form") continue;
      for (const std::string& form : info.choices) {
        bool found = false;
        for (const Json* json : reference_cases()) {
          if (json->find("loss")->as_string("loss") != kind->name) continue;
          const Json params = resolve_loss_params(*kind, *json->find("params"));
          found = found || params.find("form")->as_string("form") == form;
        }
        EXPECT_TRUE(found) << kind->name << " form " << form;
      }
    }
  }
}

}  // namespace
}  // namespace penjing::distill::testing
