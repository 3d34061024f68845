// The method "finetune": a recipe's step trains as the command does, and its parameters are checked.
#include "train/finetune.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/mapped_file.h"
#include "io/model_folder.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "train/methods.h"

namespace penjing {
namespace {

const Method& method_named(const std::string& name) {
  for (const Method* method : train::training_methods()) {
    if (method->name == name) return *method;
  }
  throw std::runtime_error(name);
}

class FinetuneStep : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
    std::ofstream train(work_ / "train.tsv");
    train << "sentence\tlabel\n";
    for (int i = 0; i < 24; ++i) train << (i % 2 == 0 ? "the cat sat\tcat\n" : "a dog ran\tdog\n");
  }
  Json params() const {
    return Json::object({{"task", "classification"},
                         {"data", (work_ / "train.tsv").string()},
                         {"no_eval", true},
                         {"epochs", 2},
                         {"batch_size", 4},
                         {"learning_rate", 1e-3}});
  }
  TestFolder work_{"finetune_step"};
};

TEST_F(FinetuneStep, TrainsWhatTheCommandTrains) {
  const Model original = read_model(work_ / "model");
  MethodContext context;
  context.work_folder = work_ / "work";
  context.threads = 1;
  std::string told;
  context.note = [&](const std::string& text) { told += text; };
  MethodReport report;
  const Method& method = method_named("finetune");
  const Model trained = method.apply(original, resolve_params(method, params()), context, report);
  EXPECT_EQ(report.details.find("steps")->as_int("steps"), 12);
  EXPECT_NE(told.find("24 examples"), std::string::npos) << told;
  EXPECT_TRUE(std::filesystem::exists(work_ / "work/train.jsonl"));

  train::FinetuneSettings settings;
  settings.model = (work_ / "model").string();
  settings.task = "classification";
  settings.data.data = work_ / "train.tsv";
  settings.eval_split = "";
  settings.out = work_ / "out";
  settings.threads = 1;
  settings.loop.epochs = 2;
  settings.loop.batches.batch_size = 4;
  settings.loop.learning_rate = 1e-3;
  settings.loop.batches.seed = settings.loop.seed;
  (void)train::finetune(settings, [](const std::string&) {});
  const Model written = read_model(work_ / "out");
  ASSERT_EQ(written.tensors.size(), trained.tensors.size());
  bool changed = false;
  for (const auto& [name, tensor] : written.tensors) {
    const Tensor* own = trained.tensors.find(name);
    ASSERT_NE(own, nullptr) << name;
    ASSERT_EQ(own->bytes.size(), tensor.bytes.size()) << name;
    EXPECT_TRUE(std::equal(own->bytes.begin(), own->bytes.end(), tensor.bytes.begin())) << name;
    const Tensor* before = original.tensors.find(name);
    changed = changed || (before != nullptr && before->bytes.size() == tensor.bytes.size() &&
                          !std::equal(before->bytes.begin(), before->bytes.end(), tensor.bytes.begin()));
  }
  EXPECT_TRUE(changed);
}

TEST_F(FinetuneStep, ParametersAreChecked) {
  const Method& method = method_named("finetune");
  const auto refused = [&](const char* name, const Json& value) {
    Json given = params();
    given.set(name, value);
    try {
      const Json resolved = resolve_params(method, given);
      MethodContext context;
      context.work_folder = work_ / "work";
      context.note = [](const std::string&) {};
      MethodReport report;
      (void)method.apply(read_model(work_ / "model"), resolved, context, report);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("taken");
  };
  EXPECT_NE(refused("learning_rat", 1).find("learning_rate"), std::string::npos);
  EXPECT_NE(refused("precision", "fp5").find("bf16"), std::string::npos);
  for (const char* device : {"gpu", "cuda:", "cuda:x", "cuda:300"})
    EXPECT_NE(refused("device", device).find("cuda:N"), std::string::npos) << refused("device", device);
  EXPECT_NE(refused("batch_size", 0).find("batch_size"), std::string::npos);
  EXPECT_NE(refused("group", Json::parse("[\"x\"]", "")).find("PATTERN"), std::string::npos);
  EXPECT_NE(refused("task", "none-such").find("none-such"), std::string::npos);
  EXPECT_NE(refused("task", "").find("no task"), std::string::npos);
  EXPECT_NE(refused("class_weights", "1,x").find("class weights"), std::string::npos);
}

}  // namespace
}  // namespace penjing
