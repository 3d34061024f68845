// The objective "texts": no labels, embeddings for who looks.
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "io/model_folder.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/train/tiny_network.h"

namespace penjing {
namespace {

struct Watch final : train::TensorTap {
  at::Tensor embeddings;
  bool wants(std::string_view site) override { return site == train::kSentenceSite; }
  void on(std::string_view, int, const at::Tensor& rows) override { embeddings = rows; }
};

TEST(Texts, GiveEmbeddingsAndNoLoss) {
  TestFolder work("texts_objective");
  testing::write_tiny_folder(work / "model", testing::TinyHead::kSentence);
  std::ofstream(work / "texts.txt") << "the cat sat on the mat\n\na dog ran\n";
  Model model = read_model(work / "model");
  const auto tokenizer = Tokenizer::load(work / "model");
  ThreadPool pool(1);
  train::ObjectiveInput input;
  input.data.data = work / "texts.txt";
  input.pool = &pool;
  const auto objective = train::find_objective("texts")->make(model, *tokenizer, input);
  EXPECT_EQ(objective->num_examples(), 2);  // empty lines are none
  EXPECT_FALSE(objective->has_loss());
  EXPECT_FALSE(objective->has_evaluation());
  const auto network = testing::make_network(model);
  testing::Forwarding forward;
  Watch watch;
  forward.context.tap = &watch;
  const std::vector<int64_t> examples = {0, 1};
  const train::LossSum loss = objective->loss(*network, forward.context, examples, 0);
  EXPECT_EQ(loss.sum.item<double>(), 0);
  ASSERT_TRUE(watch.embeddings.defined());
  EXPECT_EQ(watch.embeddings.size(0), 2);
  EXPECT_TRUE(watch.embeddings.requires_grad());

  input.params.set("eval_task", "stsb");
  EXPECT_THROW(train::find_objective("texts")->make(model, *tokenizer, input), Error);  // on what data?
}

}  // namespace
}  // namespace penjing
