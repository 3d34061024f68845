// Training on another device than the CPU, where the operations are ATen's: the same losses, gradients,
// scores and loss curves, and no tensor that is left on the CPU or read as if it were there
// (second_device.h).
#include "train/device.h"

#include <gtest/gtest.h>
#include <torch/version.h>

#include "base/error.h"
#include "tests/train/objective_steps.h"
#include "tests/train/second_device.h"
#include "train/finetune.h"
#include "train/ops/reference.h"
#include "train/optimizer.h"
#include "train/pretrain.h"

namespace penjing::train {
namespace {

namespace fs = std::filesystem;
using penjing::testing::second_device;
using penjing::testing::TinyHead;

// The second device's name in LibTorch.
std::string second() {
  return second_device().str();
}
const std::function<void(const std::string&)> kQuiet = [](const std::string&) {};

// ||a - b|| / ||b||
double distance(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.cpu().to(at::kDouble), y = b.cpu().to(at::kDouble);
  return (x - y).norm().item<double>() / (y.norm().item<double>() + 1e-30);
}

class Devices : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const auto& [name, head] :
         {std::pair{"model", TinyHead::kSentence}, std::pair{"masked", TinyHead::kMasked}})
      penjing::testing::write_tiny_folder(work_ / name, head);
    for (const char* split : {"train", "dev"}) {
      const std::string ending = std::string(split) + ".tsv";
      write("classes/" + ending,
            "text\tlabel\nthe cat sat\tcat\na big dog ran in\tdog\nred cat .\tcat\na dog\tdog\n");
      write("scores/" + ending,
            "sentence1\tsentence2\tscore\nthe cat\ta cat sat\t4\na dog\tthe house\t1\nred mat\tred , big "
            "mat\t5\n");
      write("labels/" + ending,
            "text\tlabels\nthe cat sat\tanimal,act\na red house\tplace\nthe dog\tanimal\non in\t\n");
      write("pairs/" + ending, "anchor\tpositive\nthe cat\tbig house\na dog\tred mat\nthe mat\ta cat sat\n");
      write("triplets/" + ending,
            "anchor\tpositive\tnegative\nthe cat\tbig house\tred mat\na dog\tred mat\tbig house\nthe mat\ta "
            "cat\tdog\n");
      write("beir/qrels/" + ending, "query-id\tcorpus-id\tscore\n1\ta\t1\n1\tb\t1\n2\tb\t1\n");
      write(std::string("tags/") + split + ".conll",
            "the O\ncat B-animal\nsat O\n\na O\nbig B-animal\ndog I-animal\nran O\nin O\nthe O\nhouse "
            "B-place\n");
      write(std::string("answers/") + split + ".json",
            R"({"data":[{"paragraphs":[{"context":"the big cat sat on a red mat","qas":[)"
            R"({"id":"1","question":"cat on","answers":[{"text":"red mat","answer_start":21}]},)"
            R"({"id":"2","question":"dog","answers":[],"is_impossible":true}]}]}]})");
    }
    write("beir/corpus.jsonl",
          "{\"_id\":\"a\",\"text\":\"big house\"}\n{\"_id\":\"b\",\"text\":\"red "
          "mat\"}\n{\"_id\":\"c\",\"text\":\"a cat "
          "sat\"}\n");
    write("beir/queries.jsonl", "{\"_id\":\"1\",\"text\":\"the cat\"}\n{\"_id\":\"2\",\"text\":\"a dog\"}\n");
    std::string text;
    for (int i = 0; i < 30; ++i)
      text += i % 2 == 0 ? "the cat sat on a red mat .\n\n" : "a big dog ran in the house .\n\n";
    write("texts.txt", text);
  }
  void write(const std::string& name, const std::string& text) const { write_bytes(work_ / name, text); }

  FinetuneSettings settings(const std::string& task, const std::string& data,
                            const std::string& device) const {
    FinetuneSettings s;
    s.model = (work_ / "model").string();
    s.task = task;
    s.data.data = work_ / data;
    s.out = work_ / ("out-" + task + "-" + device);
    s.threads = 1;
    s.loop.device = device;
    s.loop.max_steps = 8;
    s.loop.batches.batch_size = 2;
    s.loop.batches.seed = s.loop.seed;
    s.loop.learning_rate = 1e-3;
    return s;
  }
  static std::vector<double> losses(const FinetuneSettings& settings, FinetuneResult* result = nullptr) {
    std::vector<double> all;
    const FinetuneResult got =
        finetune(settings, kQuiet, [&](const StepLog& step) { all.push_back(step.loss); });
    if (result != nullptr) *result = got;
    return all;
  }
  static void expect_near(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], tolerance * (1 + std::abs(b[i]))) << i;
  }
  TestFolder work_{std::string("device-") + ::testing::UnitTest::GetInstance()->current_test_info()->name()};
};

// Loss, every gradient and the scores, with dropout: the masks are the same numbers.
TEST_F(Devices, EveryObjectiveComputesWhatTheCpuComputes) {
  struct Case {
    const char *kind, *data;
    Json params = Json::object();
    const char* model = "model";
  };
  Json files = Json::array();
  files.push_back((work_ / "texts.txt").string());
  const Case cases[] = {
      {"classification", "classes", Json::object({{"class_weights", "balanced"}, {"label_smoothing", 0.1}})},
      {"regression", "scores"},
      {"multi-label", "labels", Json::object({{"class_weights", "balanced"}})},
      {"tokens", "tags", Json::object({{"class_weights", "balanced"}})},
      {"qa", "answers"},
      {"pairs", "pairs", Json::object({{"symmetric", true}})},
      {"pairs", "pairs", Json::object({{"chunk_tokens", 8}})},
      {"pairs", "pairs", Json::object({{"pooling", "lasttoken"}}), "masked"},
      {"pairs", "pairs", Json::object({{"pooling", "max"}}), "masked"},
      {"pairs", "pairs", Json::object({{"pooling", "cls"}}), "masked"},
      {"triplets", "triplets"},
      {"retrieval", "beir"},
      {"similarity", "scores"},
      {"similarity", "scores", Json::object({{"loss", "cosine"}})},
      {"few-shot", "classes", Json::object({{"loss", "contrastive"}})},
      {"texts", "texts.txt"},
      {"masked-lm", "", Json::object({{"files", files}, {"hold_back", 3}}), "masked"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.kind + (" " + c.params.dump()));
    ObjectiveRun cpu(work_ / c.model, c.kind, work_ / c.data, c.params),
        other(work_ / c.model, c.kind, work_ / c.data, c.params);
    other.network.parameters.move_to(second_device());
    std::vector<int64_t> examples = cpu.first(4);
    if (cpu.objective->is_stream()) {
      Batches::Settings size;
      size.batch_size = 4;
      examples = cpu.objective->next_examples(size);
      ASSERT_EQ(other.objective->next_examples(size), examples);
    }
    const double wanted = cpu.backward(examples, true, 3);
    EXPECT_NEAR(other.backward(examples, true, 3), wanted, 2e-5 * (1 + std::abs(wanted)));
    double squares = 0;
    for (const auto& entry : cpu.network.parameters) {
      if (entry.tensor.grad().defined()) squares += std::pow(entry.tensor.grad().norm().item<double>(), 2);
    }
    for (const auto& entry : cpu.network.parameters) {
      const at::Tensor& own = entry.tensor.grad();
      const at::Tensor there = other.network.parameters.at(entry.name).grad();
      ASSERT_EQ(there.defined(), own.defined()) << entry.name;
      if (!own.defined()) continue;
      EXPECT_EQ(there.device(), second_device()) << entry.name;
      EXPECT_LE((there.cpu() - own).norm().item<double>(),
                1e-4 * own.norm().item<double>() + 1e-5 * std::sqrt(squares))
          << entry.name;
    }
    if (!cpu.objective->has_evaluation()) continue;
    const auto scores = cpu.scores(), there = other.scores();
    ASSERT_EQ(there.size(), scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i)
      EXPECT_NEAR(there[i].second, scores[i].second, 1e-4 * (1 + std::abs(scores[i].second)))
          << scores[i].first;
  }
}

TEST_F(Devices, Bfloat16IsComputedThereToo) {
  ObjectiveRun cpu(work_ / "model", "classification", work_ / "classes"),
      other(work_ / "model", "classification", work_ / "classes");
  other.network.parameters.move_to(second_device());
  cpu.arithmetic = make_arithmetic("bf16");
  other.arithmetic = make_arithmetic("bf16");
  const double wanted = cpu.backward(cpu.first(4), true, 3);
  EXPECT_NEAR(other.backward(cpu.first(4), true, 3), wanted, 0.02 * wanted);
  for (const char* name : {"encoder.layer.0.intermediate.dense.weight", "embeddings.LayerNorm.weight"})
    EXPECT_LT(distance(other.network.parameters.at(name).grad(), cpu.network.parameters.at(name).grad()),
              0.05)
        << name;
}

// The words of dropout's stream: those of the CPU, which are base/rng.h's.
TEST_F(Devices, DropoutDrawsTheSameNumbers) {
  const DropoutSite site{0.3, {uint64_t{7} << 33 | 5, 12}, 3};
  const at::Tensor keys = at::arange(50, at::kLong) + (int64_t{5000} << 20);
  for (const int64_t width : {1, 6, 64}) {
    const at::Tensor like = at::zeros({50, width});
    const at::Tensor mask = reference::keep_mask(like, site, keys);
    EXPECT_TRUE(
        reference::keep_mask(like.to(second_device()), site, keys.to(second_device())).cpu().equal(mask));
    EXPECT_GT(mask.sum().item<float>(), 0);
  }
}

TEST_F(Devices, OptimizersTakeTheSameSteps) {
  for (const char* name : {"adamw", "lamb", "sgd", "adadelta"}) {
    OptimizerSettings settings;
    settings.name = name;
    settings.momentum = 0.9;
    const auto optimizer = make_optimizer(settings), other = make_optimizer(settings);
    Parameters here, there;
    here.add("w", at::randn({40, 30}));
    there.add("w", here.at("w").detach().clone());
    there.move_to(second_device());
    const std::vector<ParameterRule> rules = {{0.5, 0.01, false}};
    for (int step = 0; step < 5; ++step) {
      const at::Tensor gradient = at::randn({40, 30});
      at::Tensor(here.at("w")).mutable_grad() = gradient;
      at::Tensor(there.at("w")).mutable_grad() = gradient.to(second_device());
      optimizer->step(here, rules, 0.1, 0.7);
      if (step == 2) {  // its state goes through a checkpoint
        const TensorMap saved = other->save();
        other->load(there, saved);
      }
      other->step(there, rules, 0.1, 0.7);
    }
    EXPECT_LT(distance(there.at("w"), here.at("w")), 1e-6) << name;
  }
}

// The whole of a run: batches, clipping, average, scores, checkpoints; and one that goes on on another
// device.
TEST_F(Devices, ARunHasTheSameCurveAndGoesOnOnAnotherDevice) {
  FinetuneSettings here = settings("classification", "classes", "cpu"),
                   there = settings("classification", "classes", second());
  for (FinetuneSettings* s : {&here, &there}) {
    s->loop.average = 0.9;
    s->loop.eval_steps = 3;
    s->loop.keep_best = true;
    s->loop.save_steps = 2;
  }
  FinetuneResult a, b;
  const std::vector<double> wanted = losses(here, &a);
  ASSERT_EQ(wanted.size(), 8u);
  EXPECT_LT(wanted.back(), wanted.front());
  expect_near(losses(there, &b), wanted, 1e-3);
  ASSERT_EQ(b.loop.evaluations.size(), a.loop.evaluations.size());
  const Model model = read_model(there.out);
  EXPECT_EQ(model.tensors.size(), read_model(here.out).tensors.size());

  for (const auto& [first, second] :
       {std::pair{second(), std::string("cpu")}, std::pair{std::string("cpu"), second()}}) {
    FinetuneSettings s = there;
    s.out = work_ / fmt::format("moved-{}", second);
    s.loop.device = first;
    int steps = 0;
    EXPECT_THROW((void)finetune(s, kQuiet,
                                [&](const StepLog&) {
                                  if (++steps == 5) throw std::runtime_error("killed");
                                }),
                 std::runtime_error);
    s.loop.device = second;
    s.resume = true;
    FinetuneResult result;
    const std::vector<double> rest = losses(s, &result);
    EXPECT_EQ(result.loop.first_step, 4);
    expect_near(rest, {wanted.begin() + 4, wanted.end()}, 1e-3);
  }
}

TEST_F(Devices, NegativesAreMinedAndTextsLearnedThere) {
  std::vector<std::vector<double>> curves;
  for (const std::string& device : {std::string("cpu"), second()}) {
    FinetuneSettings s = settings("retrieval", "beir", device);
    s.params = Json::object({{"hard_negatives", 1}, {"negatives_to", 1}});
    s.loop.max_steps = 3;
    curves.push_back(losses(s));
  }
  expect_near(curves[1], curves[0], 1e-3);
  curves.clear();
  for (const std::string& device : {std::string("cpu"), second()}) {
    PretrainSettings s;
    s.model = (work_ / "masked").string();
    s.data = {work_ / "texts.txt"};
    s.max_length = 24;
    s.params = Json::object({{"hold_back", 3}});
    s.out = work_ / ("pretrained-" + device);
    s.threads = 1;
    s.loop.device = device;
    s.loop.max_steps = 4;
    s.loop.batches.batch_size = 4;
    curves.emplace_back();
    (void)pretrain(s, kQuiet, [&](const StepLog& step) { curves.back().push_back(step.loss); });
  }
  expect_near(curves[1], curves[0], 1e-3);
}

template <typename Work>
std::pair<ErrorKind, std::string> refusal(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  return {ErrorKind::kInternal, "taken"};
}

TEST_F(Devices, WhatCannotBeDoneIsRefusedBeforeAnythingIsWritten) {
  EXPECT_TRUE(find_device("cpu").is_cpu());
  EXPECT_EQ(find_device(at::DeviceTypeName(at::kPrivateUse1, true)), second_device());
  EXPECT_EQ(refusal([] { (void)find_device("gpu"); }).first, ErrorKind::kInput);
  EXPECT_EQ(refusal([] { (void)find_device(at::Device(at::kPrivateUse1, 1).str()); }).first,
            ErrorKind::kUnsupported);
  for (const char* precision : {"fp16", "tf32", "fp8"}) {
    FinetuneSettings s = settings("classification", "classes", second());
    s.loop.precision = precision;
    const auto [kind, text] = refusal([&] { (void)finetune(s, kQuiet); });
    EXPECT_EQ(kind, ErrorKind::kUnsupported);
    EXPECT_NE(text.find(std::string("precision ") + precision), std::string::npos) << text;
    EXPECT_FALSE(fs::exists(s.out.string() + ".training"));
  }
  FinetuneSettings s = settings("classification", "classes", second());
  s.fake_quant.emplace();
  EXPECT_NE(refusal([&] { (void)finetune(s, kQuiet); }).second.find("quantization-aware"), std::string::npos);
  EXPECT_FALSE(fs::exists(s.out.string() + ".training"));
}

TEST_F(Devices, AGpuThatIsNotThereIsNamed) {
  if (at::hasCUDA()) GTEST_SKIP() << "LibTorch sees a GPU here";
  FinetuneSettings s = settings("classification", "classes", "cuda");
  for (const char* device : {"cuda", "cuda:3"}) {
    s.loop.device = device;
    const auto [kind, text] = refusal([&] { (void)finetune(s, kQuiet); });
    EXPECT_EQ(kind, ErrorKind::kUnsupported);
    for (const char* part : {TORCH_VERSION, device, "cpu"})
      EXPECT_NE(text.find(part), std::string::npos) << text;
    EXPECT_FALSE(fs::exists(s.out.string() + ".training"));
  }
}

}  // namespace
}  // namespace penjing::train
