// Distillation on another device than the CPU (tests/train/second_device.h): the same losses, gradients and
// curves.
#include <gtest/gtest.h>

#include <set>

#include "data/npy.h"
#include "distill/distill.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/distill/reference_case.h"
#include "tests/distill/tiny_task.h"
#include "tests/train/second_device.h"

namespace penjing::distill {
namespace {

using penjing::testing::second_device;

using penjing::testing::kQuiet;

// Two calls in training: what a loss remembers of the first is there in the second.
TEST(DistillDevices, EveryLossComputesWhatTheCpuComputes) {
  std::set<std::string> seen;
  for (const Json* json : testing::reference_cases()) {
    testing::ReferenceCase cpu(*json, at::kDouble), other(*json, at::kDouble);
    SCOPED_TRACE(cpu.name());
    seen.insert(json->find("loss")->as_string("loss"));
    other.move_to(second_device());
    for (const int call : {0, 1}) {
      const at::Tensor wanted = cpu.value(true), value = other.value(true);
      EXPECT_EQ(value.device(), second_device());
      const double scale = std::max(1.0, std::abs(wanted.item<double>()));
      EXPECT_NEAR(value.item<double>(), wanted.item<double>(), 1e-12 * scale) << call;
      std::vector<at::Tensor> here, there;
      for (const auto& [name, leaf] : cpu.leaves()) here.push_back(leaf);
      for (const auto& [name, leaf] : other.leaves()) there.push_back(leaf);
      const auto own = torch::autograd::grad({wanted}, here, {}, c10::nullopt, false, true);
      const auto gradients = torch::autograd::grad({value}, there, {}, c10::nullopt, false, true);
      for (std::size_t i = 0; i < own.size(); ++i) {
        ASSERT_EQ(gradients[i].defined(), own[i].defined()) << i;
        if (!own[i].defined()) continue;
        EXPECT_EQ(gradients[i].device(), second_device()) << i;
        EXPECT_LE((gradients[i].cpu() - own[i]).abs().max().item<double>(),
                  1e-11 * std::max(1.0, own[i].abs().max().item<double>()))
            << i;
      }
    }
  }
  EXPECT_EQ(seen.size(), all_losses().size());
}

class DistillOnDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("PENJING_CACHE", (work_ / "cache").c_str(), 1);
    penjing::testing::write_tiny_folder(work_ / "model", penjing::testing::TinyHead::kSentence);
    penjing::testing::write_task(work_.path(), {"the cat sat\t0", "a big dog ran\t1"}, 12);
    (void)train::finetune(training("teacher", "cpu"), kQuiet);
  }
  train::FinetuneSettings training(const std::string& out, const std::string& device) const {
    train::FinetuneSettings s = penjing::testing::tiny_training(work_.path(), out, 1, 1e-3);
    s.loop.device = device;
    s.loop.max_steps = 6;
    return s;
  }
  // The losses of the steps, on the CPU and on the second device.
  void expect_same_curves(const std::string& teacher, const std::string& losses) const {
    std::vector<std::vector<double>> curves;
    for (const std::string& device : {std::string("cpu"), second_device().str()}) {
      DistillSettings s;
      s.training = training("out-" + device, device);
      s.teacher = teacher;
      s.losses = Json::parse(losses, "losses");
      s.answers = distill::KeptAnswers::kNone;
      curves.emplace_back();
      (void)distill(s, kQuiet, [&](const train::StepLog& step) { curves.back().push_back(step.loss); });
      std::filesystem::remove_all(s.training.out);
      std::filesystem::remove_all(s.training.out.string() + ".training");
    }
    ASSERT_EQ(curves[1].size(), 6u);
    for (std::size_t i = 0; i < 6; ++i)
      EXPECT_NEAR(curves[1][i], curves[0][i], 1e-3 * (1 + std::abs(curves[0][i]))) << i;
  }
  TestFolder work_{std::string("distill-") + ::testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(DistillOnDevice, LayersAndAnswersOfAModel) {
  expect_same_curves((work_ / "teacher").string(), R"([{"loss": "kd"}, {"loss": "mse", "projection": true},
    {"loss": "attention_mse"}, {"loss": "minilm"}, {"loss": "crd", "params": {"of": "first"}}])");
  expect_same_curves((work_ / "teacher").string(),
                     R"([{"loss": "kd"}])");  // of answers that were taken before
  expect_same_curves((work_ / "teacher").string(),
                     R"([{"loss": "mse", "projection": {"init": "least_squares"}}])");
}

TEST_F(DistillOnDevice, AFileOfAnswers) {
  const auto file = work_ / "answers.npy";
  NpyWriter writer(file, "<f4", 2);
  for (int i = 0; i < 12; ++i) {
    const std::vector<float> row = {i % 2 == 0 ? -4.f : 4.f, i % 2 == 0 ? 4.f : -4.f};
    writer.write_row(std::as_bytes(std::span(row)));
  }
  writer.commit();
  expect_same_curves(file.string(), R"([{"loss": "kd"}])");
}

}  // namespace
}  // namespace penjing::distill
