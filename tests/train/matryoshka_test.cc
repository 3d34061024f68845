// Losses at several widths of the embeddings against Sentence-Transformers' MatryoshkaLoss (value and
// gradient, tests/data/matryoshka_reference.json), and the parameter in the objectives.
#include "train/matryoshka.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/mapped_file.h"
#include "io/model_folder.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/train/tiny_network.h"
#include "train/losses.h"

namespace penjing::train {
namespace {

at::Tensor read_matrix(const Json& rows) {
  std::vector<double> values;
  const auto& list = rows.as_array("rows");
  for (const Json& row : list) {
    for (const Json& value : row.as_array("row")) values.push_back(value.as_double("value"));
  }
  return at::tensor(values, at::kDouble).view({static_cast<int64_t>(list.size()), -1});
}

TEST(Matryoshka, ValueAndGradientAreThoseOfSentenceTransformers) {
  const std::string path = PENJING_SOURCE_DIR "/tests/data/matryoshka_reference.json";
  const Json reference = Json::parse(read_text_file(path, 1 << 20), path);
  const Matryoshka matryoshka = read_matryoshka(*reference.find("dims"), *reference.find("weights"));
  ASSERT_EQ(matryoshka.dims.size(), 3u);
  std::vector<double> scores;
  for (const Json& score : reference.find("scores")->as_array("scores"))
    scores.push_back(score.as_double(""));
  const at::Tensor a = read_matrix(*reference.find("a")), b = read_matrix(*reference.find("b"));
  const int64_t n = a.size(0);
  for (const Json& wanted : reference.find("losses")->as_array("losses")) {
    const std::string kind = wanted.find("kind")->as_string("kind");
    for (const bool unit : {false, true}) {  // losses of cosines do not see the difference
      const at::Tensor rows = at::cat({a, b}).requires_grad_();
      const at::Tensor loss =
          at_dimensions(matryoshka, unit,
                        [&](const at::Tensor& x) {
                          const at::Tensor first = x.narrow(0, 0, n), second = x.narrow(0, n, n);
                          return kind == "cosent" ? cosent(first, second, at::tensor(scores, at::kDouble))
                                                  : multiple_negatives(first, second);
                        })(rows) /
          static_cast<double>(n);  // ours are sums
      EXPECT_NEAR(loss.item<double>() / wanted.find("value")->as_double(""), 1, 1e-9) << kind;
      loss.backward();
      const at::Tensor gradient = at::cat({read_matrix(*wanted.find("a")), read_matrix(*wanted.find("b"))});
      EXPECT_LT((rows.grad() - gradient).abs().max().item<double>(),
                1e-9 * gradient.abs().max().item<double>())
          << kind;
    }
  }
}

TEST(Matryoshka, WhatIsCutHasLengthOneAgainWhereTheModelNormalizes) {
  const at::Tensor rows = at::tensor({3.0, 4.0, 12.0, 0.6, 0.8, 0.0}, at::kDouble).view({2, 3});
  EXPECT_TRUE(at::equal(first_dimensions(rows, 2, false), rows.narrow(1, 0, 2)));
  EXPECT_TRUE(at::allclose(first_dimensions(rows, 2, true),
                           at::tensor({0.6, 0.8, 0.6, 0.8}, at::kDouble).view({2, 2})));
}

TEST(Matryoshka, WidthsAreReadInEveryForm) {
  const std::vector<int64_t> wanted = {64, 128};
  EXPECT_EQ(read_matryoshka("64,128", Json()).dims, wanted);
  EXPECT_EQ(read_matryoshka(Json(Json::Array{Json(64), Json(128)}), Json::array()).dims, wanted);
  EXPECT_EQ(read_matryoshka(64, Json()).dims, (std::vector<int64_t>{64}));
  EXPECT_TRUE(read_matryoshka(Json(), Json()).dims.empty());
  EXPECT_EQ(read_matryoshka("64,128", Json()).weights, (std::vector<double>{1, 1}));
  EXPECT_EQ(read_matryoshka("64,128", "1,0.5").weights, (std::vector<double>{1, 0.5}));
  for (const auto& [dims, weights] : {std::pair<Json, Json>{"64,64", Json()},
                                      {0, Json()},
                                      {"6.5", Json()},
                                      {"x", Json()},
                                      {"64", "1,2"},
                                      {"64", "-1"},
                                      {Json::object(), Json()}}) {
    EXPECT_THROW((void)read_matryoshka(dims, weights), Error) << dims.dump() << weights.dump();
  }
}

class MatryoshkaObjectives : public ::testing::Test {
 protected:
  MatryoshkaObjectives() {
    penjing::testing::write_tiny_folder(work_ / "model", penjing::testing::TinyHead::kSentence);
    std::ofstream(work_ / "pairs.tsv")
        << "sentence1\tsentence2\tscore\nthe cat\ta cat\t5\nthe dog\tthe mat\t0\n"
        << "a dog\tthe dog\t4\na house\tthe cat\t1\n";
    std::ofstream(work_ / "triplets.tsv") << "anchor\tpositive\tnegative\nthe cat\ta cat\ta big house\n"
                                          << "the dog\ta dog ran\tthe mat\n";
  }
  double loss(const std::string& task, const std::string& file, const Json& params) {
    Model model = read_model(work_ / "model");
    const auto tokenizer = Tokenizer::load(work_ / "model");
    ThreadPool pool(1);
    ObjectiveInput input;
    input.data.data = work_ / file;
    input.eval_split = "";
    input.pool = &pool;
    input.params = params;
    const auto objective = find_objective(task)->make(model, *tokenizer, input);
    const auto network = penjing::testing::make_network(model);
    const penjing::testing::Forwarding forward;
    std::vector<int64_t> examples(static_cast<std::size_t>(objective->num_examples()));
    for (std::size_t i = 0; i < examples.size(); ++i) examples[i] = static_cast<int64_t>(i);
    return objective->loss(*network, forward.context, examples, 0).sum.item<double>();
  }
  TestFolder work_{"matryoshka_objectives"};
};

TEST_F(MatryoshkaObjectives, TheLossIsTheSumOverTheWidths) {
  for (const auto& [task, file, loss_name] : {std::tuple("similarity", "pairs.tsv", "cosent"),
                                              {"similarity", "pairs.tsv", "cosine"},
                                              {"triplets", "triplets.tsv", "triplet"},
                                              {"triplets", "triplets.tsv", "multiple-negatives"}}) {
    const auto at_width = [&](const char* dims, const char* weights) {
      return loss(task, file,
                  Json::object({{"loss", loss_name}, {"matryoshka", dims}, {"matryoshka_weights", weights}}));
    };
    const double whole = loss(task, file, Json::object({{"loss", loss_name}}));
    EXPECT_NEAR(at_width("32", "") / whole, 1, 1e-6) << loss_name;
    const double narrow = at_width("8", "");
    EXPECT_GT(std::abs(narrow / whole - 1), 1e-4) << loss_name;
    EXPECT_NEAR(at_width("8,32", "0.5,2") / (0.5 * narrow + 2 * whole), 1, 1e-5) << loss_name;
    EXPECT_THROW((void)at_width("33", ""), Error);
  }
}

}  // namespace
}  // namespace penjing::train
