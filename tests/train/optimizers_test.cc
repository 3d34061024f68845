// Optimizers against torch.optim's numbers (adamw, sgd, adadelta) and the paper's formula in double (lamb),
// stored.
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/train/reference_file.h"
#include "tests/train/tiny_network.h"
#include "train/optimizer.h"

namespace penjing::train {
namespace {

at::Tensor floats(const Json& list) {
  return at::tensor(testing::doubles(list), at::kDouble).to(at::kFloat);
}

struct Setting {
  OptimizerSettings settings;
  const Json* steps;
};

std::vector<Setting> stored_runs() {
  std::vector<Setting> runs;
  for (const Json& run : testing::train_reference().find("optimizers")->find("runs")->as_array("runs")) {
    Setting setting;
    setting.settings.name = run.find("name")->as_string("name");
    const auto take = [&](const char* key, double& into) {
      if (const Json* value = run.find("settings")->find(key)) into = value->as_double(key);
    };
    take("beta1", setting.settings.beta1);
    take("beta2", setting.settings.beta2);
    take("epsilon", setting.settings.epsilon);
    take("momentum", setting.settings.momentum);
    setting.steps = run.find("steps");
    runs.push_back(setting);
  }
  return runs;
}

TEST(Optimizers, StepsAreThoseOfTheReference) {
  const Json& stored = *testing::train_reference().find("optimizers");
  std::vector<std::string> names;
  for (const auto& [settings, steps] : stored_runs()) {
    names.push_back(settings.name);
    Parameters parameters;
    parameters.add("w", floats(*stored.find("start")));
    const auto optimizer = make_optimizer(settings);
    const ParameterRule rule = {0.5, 0.02, false};
    const auto& gradients = stored.find("gradients")->as_array("gradients");
    for (std::size_t t = 0; t < gradients.size(); ++t) {
      // Half the learning rate by the rule, a quarter of the gradient by the scale.
      at::Tensor w = parameters.at("w");
      w.mutable_grad() = floats(gradients[t]) * 4;
      optimizer->step(parameters, {&rule, 1}, 0.2, 0.25);
      const std::vector<double> wanted = testing::doubles(steps->as_array("steps")[t]);
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        EXPECT_NEAR(w[static_cast<int64_t>(i)].item<double>(), wanted[i], 2e-6)
            << settings.name << " step " << t << " number " << i;
      }
    }
  }
  EXPECT_EQ(names, (std::vector<std::string>{"adamw", "sgd", "sgd", "lamb", "adadelta"}));
}

// What is saved and loaded goes on bit for bit.
TEST(Optimizers, StateIsSavedAndLoadedExactly) {
  const Json& stored = *testing::train_reference().find("optimizers");
  const auto& gradients = stored.find("gradients")->as_array("gradients");
  for (const auto& [settings, steps] : stored_runs()) {
    const ParameterRule rules[] = {{1, 0.02, false}, {1, 0, true}};
    Parameters whole, parted;
    for (Parameters* parameters : {&whole, &parted}) {
      parameters->add("w", floats(*stored.find("start")));
      parameters->add("frozen", floats(*stored.find("start")));
    }
    auto one = make_optimizer(settings), other = make_optimizer(settings);
    for (std::size_t t = 0; t < gradients.size(); ++t) {
      for (Parameters* parameters : {&whole, &parted}) {
        for (const char* name : {"w", "frozen"}) {
          at::Tensor w = parameters->at(name);
          w.mutable_grad() = floats(gradients[t]);
        }
      }
      one->step(whole, rules, 0.1, 1);
      other->step(parted, rules, 0.1, 1);
      const TensorMap state = other->save();
      other = make_optimizer(settings);
      other->load(parted, state);
      EXPECT_EQ(state.find("frozen.steps"), nullptr);
    }
    EXPECT_TRUE(at::equal(whole.at("w"), parted.at("w"))) << settings.name;
    EXPECT_TRUE(at::equal(whole.at("frozen"), floats(*stored.find("start")))) << "frozen and changed";
    // State of another shape is refused.
    Parameters larger;
    larger.add("w", at::zeros({9}));
    EXPECT_THROW(make_optimizer(settings)->load(larger, other->save()), Error) << settings.name;
  }
}

TEST(Optimizers, AParameterWithoutAGradientIsLeftAlone) {
  Parameters parameters;
  parameters.add("w", at::ones({3}));
  const ParameterRule rule = {1, 0.5, false};
  for (const char* name : {"adamw", "lamb", "sgd", "adadelta"}) {
    OptimizerSettings settings;
    settings.name = name;
    make_optimizer(settings)->step(parameters, {&rule, 1}, 0.1, 1);
    EXPECT_TRUE(at::equal(parameters.at("w"), at::ones({3}))) << name;
  }
  OptimizerSettings unknown;
  unknown.name = "adagrad";
  EXPECT_THROW(make_optimizer(unknown), Error);
}

}  // namespace
}  // namespace penjing::train
