// A teacher with quantized weights is asked in the inference runtime: what it says is kept as it says it
// there.
#include "distill/runtime_teacher.h"

#include <gtest/gtest.h>

#include "compress/method.h"
#include "distill/answers.h"
#include "distill/distill.h"
#include "io/model_folder.h"
#include "io/safetensors.h"
#include "runtime/engine.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/distill/tiny_task.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Predictor> new_session(const Model& model, OutputKind kind) {
  return Engine::build(model, {{kind}})->new_session(std::make_shared<ThreadPool>(1));
}

class RuntimeTeacherTest : public ::testing::Test {
 protected:
  const testing::Rows rows_ = {"the cat sat\t0", "a dog ran on the big mat\t1", "dog\t1",
                               "the big cat sat in the house\t0"};

  void SetUp() override {
    ::setenv("PENJING_CACHE", (work_ / "cache").c_str(), 1);
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence);
    testing::write_task(work_.path(), rows_);
  }
  void quantize(const std::string& from, const std::string& to) const {
    const Method& method = *find_method("quantize");
    MethodContext context;
    MethodReport report;
    const Model model = read_model(work_ / from);
    write_model(method.apply(model, resolve_params(method, Json::object()), context, report), work_ / to);
  }
  void make_classifier() const {
    train::FinetuneSettings s = testing::tiny_training(work_.path(), "teacher", 3);
    s.eval_split = "";
    (void)train::finetune(s, testing::kQuiet);
    quantize("teacher", "int8");
  }
  distill::DistillSettings settings(const std::string& losses, const std::string& teacher) {
    distill::DistillSettings s;
    s.training = testing::tiny_training(work_.path(), fmt::format("out-{}", runs_++), 1);
    s.training.eval_split = "";
    s.teacher = (work_ / teacher).string();
    s.losses = Json::parse(losses, "losses");
    s.new_predictor = new_session;
    return s;
  }
  // The loss at the end.
  double run(const distill::DistillSettings& settings) {
    told_.clear();
    return distill::distill(settings, [this](const std::string& text) { told_ += text; }).loop.loss;
  }
  bool asked_runtime() const { return told_.find("inference runtime") != std::string::npos; }
  // By their parts; files: how many there are.
  std::map<std::string, at::Tensor> take_all_answers(std::size_t files = 0) const {
    std::map<std::string, at::Tensor> all;
    std::size_t count = 0;
    for (const auto& file : fs::directory_iterator(work_ / "cache/teacher")) {
      for (const auto& [key, value] : read_safetensors(file.path()).metadata) {
        if (key == "part") all[value] = distill::read_answers(file.path()).clone();
      }
      ++count;
    }
    if (files > 0) {
      EXPECT_EQ(count, files);
    }
    fs::remove_all(work_ / "cache/teacher");
    return all;
  }
  at::Tensor take_answers() const { return take_all_answers(1).begin()->second; }  // of the one file
  // What the model says of the task's rows, one alone at a time.
  at::Tensor say(const std::string& name, OutputKind kind) const {
    const Model model = read_model(work_ / name);
    const auto tokenizer = Tokenizer::load(model.folder);
    const auto session = new_session(model, kind);
    std::vector<at::Tensor> all;
    for (const std::string& row : rows_) {
      RaggedBatch batch;
      const Encoding encoding = tokenizer->encode(row.substr(0, row.find('\t')), {});
      batch.append(encoding.ids, encoding.type_ids);
      const Prediction said = session->predict(batch, {kind});
      all.push_back(at::tensor(said.values, at::kFloat).view({1, said.dim}));
    }
    return at::cat(all).repeat({6, 1});
  }
  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
  std::string told_;
  int runs_ = 0;
};

TEST_F(RuntimeTeacherTest, ItsLogitsAreTheRuntimes) {
  make_classifier();
  const double first = run(settings(R"([{"loss": "kd"}])", "int8"));
  EXPECT_TRUE(asked_runtime()) << told_;
  EXPECT_TRUE(at::equal(take_answers(), say("int8", OutputKind::kClassLogits)));
  EXPECT_EQ(run(settings(R"([{"loss": "kd"}])", "int8")), first);
  EXPECT_EQ(run(settings(R"([{"loss": "kd"}])", "int8")), first);  // from the cache
  EXPECT_NE(told_.find("from an earlier run"), std::string::npos) << told_;
  // At every step the same.
  distill::DistillSettings s = settings(R"([{"loss": "kd"}])", "int8");
  s.answers_gb = 1e-9;
  fs::remove_all(work_ / "cache");
  EXPECT_EQ(run(s), first);
  EXPECT_NE(told_.find("at every step"), std::string::npos) << told_;
}

// As the trainer gives it of what the integers stand for, but for the rounding of activations.
TEST_F(RuntimeTeacherTest, EveryOutputIsNearTheTrainers) {
  make_classifier();
  constexpr const char* kEveryOutput = R"([
    {"loss": "kd"}, {"loss": "mse", "layers": [[0, 0], [2, 2]]}, {"loss": "attention_mse"}, {"loss": "attention_kl"},
    {"loss": "minilm", "params": {"relations": ["query", "key", "value"]}}, {"loss": "pkd", "layers": [[1, 1]]}])";
  (void)run(settings(kEveryOutput, "int8"));
  EXPECT_TRUE(asked_runtime()) << told_;
  const std::map<std::string, at::Tensor> said = take_all_answers();
  distill::DistillSettings s = settings(kEveryOutput, "int8");
  s.new_predictor = nullptr;  // a program without a runtime
  (void)run(s);
  EXPECT_FALSE(asked_runtime()) << told_;
  const std::map<std::string, at::Tensor> expanded = take_all_answers();
  ASSERT_EQ(said.size(), expanded.size());
  for (const char* part : {"logits", "layer.0.states", "layer.1.first", "layer.2.states", "layer.2.queries",
                           "layer.2.keys", "layer.2.values", "layer.2.scores"})
    EXPECT_TRUE(said.contains(part)) << part;
  for (const auto& [part, rows] : said) {
    const at::Tensor& other = expanded.at(part);
    ASSERT_EQ(rows.sizes(), other.sizes()) << part;
    EXPECT_LT((rows - other).norm().item<double>(), 0.03 * other.norm().item<double>()) << part;
    if (part != "layer.0.states") {
      EXPECT_FALSE(at::equal(rows, other)) << part;
    }
  }
  // Four heads of 8, the five tokens of the first text: Q K^T / sqrt(8).
  const auto heads = [&](const char* part) {
    return said.at(part).slice(0, 0, 5).view({5, 4, 8}).transpose(0, 1);
  };
  const at::Tensor scores =
      heads("layer.2.queries").matmul(heads("layer.2.keys").transpose(1, 2)) / std::sqrt(8.0);
  EXPECT_TRUE(at::allclose(said.at("layer.2.scores").slice(0, 0, 100), scores.reshape({100}), 1e-5, 1e-6));
}

TEST_F(RuntimeTeacherTest, AnswersOfBothAreKeptApart) {
  make_classifier();
  distill::DistillSettings s = settings(R"([{"loss": "kd"}])", "int8");
  s.new_predictor = nullptr;
  (void)run(s);
  (void)run(settings(R"([{"loss": "kd"}])", "int8"));
  EXPECT_EQ(take_all_answers(2).size(), 1u);
  (void)run(settings(R"([{"loss": "kd"}])", "teacher"));
  EXPECT_FALSE(asked_runtime()) << told_;
}

TEST_F(RuntimeTeacherTest, SentenceEmbeddings) {
  quantize("model", "int8");
  std::ofstream texts(work_ / "texts.txt");
  for (int i = 0; i < 6; ++i) {
    for (const std::string& row : rows_) texts << row.substr(0, row.find('\t')) << '\n';
  }
  texts.close();
  distill::DistillSettings s = settings(R"([{"loss": "mse", "params": {"of": "embeddings"}}])", "int8");
  s.training.task = "texts";
  s.training.data.data = work_ / "texts.txt";
  (void)run(s);
  EXPECT_TRUE(asked_runtime()) << told_;
  EXPECT_TRUE(at::equal(take_answers(), say("int8", OutputKind::kEmbedding)));
}

}  // namespace
}  // namespace penjing
