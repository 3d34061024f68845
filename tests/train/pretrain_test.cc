// The method "pretrain": a recipe's step goes on with a model's own masked-LM training.
#include "train/pretrain.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "io/model_folder.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "train/methods.h"

namespace penjing {
namespace {

TEST(PretrainStep, LearnsTheTextsOfItsData) {
  TestFolder work("pretrain_step");
  testing::write_tiny_folder(work / "model", testing::TinyHead::kMasked);
  std::ofstream text(work / "text.txt");
  for (int i = 0; i < 100; ++i) text << (i % 2 == 0 ? "the cat sat on the mat ." : "a dog ran .") << "\n";
  text.close();
  const Method* method = nullptr;
  for (const Method* each : train::training_methods()) {
    if (each->name == std::string("pretrain")) method = each;
  }
  ASSERT_NE(method, nullptr);
  const Json params = resolve_params(
      *method, Json::object({{"data", Json::parse("[\"" + (work / "text.txt").string() + "\"]", "")},
                             {"steps", 60},
                             {"hold_back", 10},
                             {"eval_steps", 30},
                             {"batch_tokens", 256},
                             {"max_length", 32},
                             {"learning_rate", 3e-3}}));
  const Model original = read_model(work / "model");
  MethodContext context;
  context.work_folder = work / "work";
  context.note = [](const std::string&) {};
  MethodReport report;
  const Model trained = method->apply(original, params, context, report);
  EXPECT_EQ(report.details.find("steps")->as_int("steps"), 60);
  // Among so few sentences, far better than a random guess among the vocabulary.
  const Json& scores = *report.details.find("scores");
  ASSERT_TRUE(scores.contains("perplexity")) << scores.dump();
  EXPECT_LT(scores.find("perplexity")->as_double("perplexity"), 4) << scores.dump();
  // Killed after its last checkpoint it goes on from there: nothing is left to do.
  MethodReport again;
  const Model same = method->apply(original, params, context, again);
  for (const auto& [name, tensor] : trained.tensors) {
    const Tensor* other = same.tensors.find(name);
    ASSERT_NE(other, nullptr) << name;
    EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), other->bytes.begin())) << name;
  }
  EXPECT_THROW(
      (void)method->apply(original, resolve_params(*method, Json::object({{"steps", 3}})), context, report),
      Error);
}

}  // namespace
}  // namespace penjing
