// BERT-of-Theseus on tiny models: which layers run, which learn, and when all of them are the student's.
#include "distill/theseus.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "compress/model_sizes.h"
#include "distill/theseus_objective.h"
#include "io/model_folder.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "tests/distill/applied_step.h"
#include "tests/distill/tiny_task.h"
#include "tests/train/tiny_network.h"
#include "train/finetune.h"
#include "train/parameter_rules.h"

namespace penjing {
namespace {

using distill::Replacing;

using testing::kQuiet;

TEST(TheseusSchedule, ProbabilitiesOfThePaper) {
  Replacing linear{Replacing::Kind::kLinear, 0.3, 6e-4, 0.5};  // the released example
  EXPECT_DOUBLE_EQ(linear.probability(0, 0), 0.3);
  EXPECT_DOUBLE_EQ(linear.probability(500, 0.9), 0.6);
  EXPECT_EQ(linear.probability(1167, 0.1), 1);
  linear.slope = 0;  // of the share instead
  EXPECT_DOUBLE_EQ(linear.probability(77, 0), 0.3);
  EXPECT_DOUBLE_EQ(linear.probability(77, 0.25), 0.65);
  EXPECT_EQ(linear.probability(77, 0.5), 1);
  const Replacing constant{Replacing::Kind::kConstant, 0.5, 0, 0.6};
  EXPECT_EQ(constant.probability(0, 0), 0.5);
  EXPECT_EQ(constant.probability(9, 0.59), 0.5);
  EXPECT_EQ(constant.probability(9, 0.6), 1);
  EXPECT_EQ((Replacing{Replacing::Kind::kLinear, 0.3, 0, 0}.probability(0, 0)), 1);
}

TEST(TheseusSchedule, ADrawIsOfSeedAndStepAlone) {
  int replaced = 0, same = 0;
  for (uint64_t step = 0; step < 1000; ++step) {
    const std::vector<bool> draw = distill::draw_replaced({5, step}, 6, 0.3);
    EXPECT_EQ(draw, distill::draw_replaced({5, step}, 6, 0.3));
    same += draw == distill::draw_replaced({6, step}, 6, 0.3) ? 1 : 0;
    replaced += static_cast<int>(std::count(draw.begin(), draw.end(), true));
    // A higher probability replaces the same modules and more.
    const std::vector<bool> more = distill::draw_replaced({5, step}, 6, 0.8);
    for (std::size_t i = 0; i < draw.size(); ++i) EXPECT_LE(draw[i], more[i]);
  }
  EXPECT_NEAR(replaced / 6000.0, 0.3, 4 * 0.0059);  // of a binomial's deviation
  EXPECT_LT(same, 150);                             // (0.58)^6 = 4 % by chance
  EXPECT_EQ(distill::draw_replaced({5, 1}, 3, 1), std::vector<bool>(3, true));
  EXPECT_EQ(distill::draw_replaced({5, 1}, 3, 0), std::vector<bool>(3, false));
}

TEST(TheseusGroups, DivideTheTeachersLayers) {
  using Groups = std::vector<int64_t>;
  EXPECT_EQ(distill::layer_groups({}, 6, 12), Groups(6, 2));
  EXPECT_EQ(distill::layer_groups({1, 2, 3}, 3, 6), (Groups{1, 2, 3}));
  for (const Groups& wrong : {Groups{2, 2}, Groups{2, 2, 3}, Groups{6, 0, 0}}) {
    EXPECT_THROW((void)distill::layer_groups(wrong, 3, 6), Error);
  }
  EXPECT_THROW((void)distill::layer_groups({}, 5, 12), Error);
}

class Theseus : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_tiny_folder(work_ / "model", testing::TinyHead::kSentence, 4);
    tokenizer_ = Tokenizer::load(work_ / "model");
    testing::write_task(work_.path());
    train::FinetuneSettings teaching = training("teacher");
    teaching.model = (work_ / "model").string();
    teaching.loop.epochs = 12;
    teaching.loop.learning_rate = 5e-4;
    teaching.loop.hidden_dropout = teaching.loop.attention_dropout = 0;
    ASSERT_EQ(train::finetune(teaching, kQuiet).loop.evaluations.back().scores.front().second, 1);
    teacher_ = read_model(work_ / "teacher");
    // Not the first two layers, so that it matters which of the teacher's are left.
    student_ = keep_layers(teacher_, {0, 3});
    write_model(student_, work_ / "student");
    student_.folder = work_ / "student";
  }
  train::FinetuneSettings training(const std::string& out) const {
    train::FinetuneSettings s = testing::tiny_training(work_.path(), out, 4, 1e-3);
    s.model = (work_ / "student").string();
    return s;
  }
  distill::TheseusSettings settings(const std::string& out) const {
    distill::TheseusSettings s;
    s.training = training(out);
    s.teacher = (work_ / "teacher").string();
    return s;
  }
  std::unique_ptr<train::Objective> objective(Model& model) {
    train::ObjectiveInput input;
    input.data.data = work_.path();
    input.pool = &pool_;
    return train::find_objective("classification")->make(model, *tokenizer_, input);
  }
  double loss_of(Model model) {
    const auto task = objective(model);
    const auto network = testing::make_network(model);
    return task->loss(*network, forwarding_.context, kExamples, 0).sum.item<double>();
  }
  static std::string refusal(const distill::TheseusSettings& settings) {
    return testing::refusal_of([&] { (void)distill::theseus(settings, kQuiet); });
  }

  static constexpr std::array<int64_t, 5> kExamples = {0, 1, 2, 5, 8};
  TestFolder work_{::testing::UnitTest::GetInstance()->current_test_info()->name()};
  ThreadPool pool_{1};
  std::shared_ptr<const Tokenizer> tokenizer_;
  testing::Forwarding forwarding_;
  Model teacher_, student_;
};

TEST_F(Theseus, RunsTheTeachersGroupsAndTheStudentsLayers) {
  const auto task = objective(student_);
  const auto network = testing::make_network(student_);
  const auto teacher = testing::make_network(teacher_);
  distill::ReplaceableModules modules(*network, teacher_, teacher->parameters, {2, 2});
  const auto loss = [&](const std::vector<bool>& replaced) {
    return task->loss(modules.network(replaced), forwarding_.context, kExamples, 0).sum.item<double>();
  };
  const double of_student = loss_of(student_), of_teacher = loss_of(teacher_);
  EXPECT_NE(of_student, of_teacher);
  EXPECT_EQ(loss({true, true}), of_student);
  EXPECT_EQ(loss({false, false}), of_teacher);
  EXPECT_EQ(loss({true, false}), loss_of(keep_layers(teacher_, {0, 2, 3})));
  EXPECT_EQ(loss({false, true}), loss_of(keep_layers(teacher_, {0, 1, 3})));
  distill::ReplaceableModules uneven(*network, teacher_, teacher->parameters, {1, 3});
  EXPECT_EQ(task->loss(uneven.network({true, false}), forwarding_.context, kExamples, 0).sum.item<double>(),
            of_teacher);  // the student's first layer is the teacher's

  // The objective: by its schedule, and in scoring the student as it is.
  for (const double rate : {0.0, 1.0}) {
    const distill::TheseusObjective around(
        objective(student_), distill::ReplaceableModules(*network, teacher_, teacher->parameters, {2, 2}),
        {Replacing::Kind::kConstant, rate, 0, 0.5});
    const train::LossSum got = around.loss(*network, forwarding_.context, kExamples, 0);
    EXPECT_EQ(got.sum.item<double>(), rate == 0 ? of_teacher : of_student);
    ASSERT_EQ(got.details.back().first, "replaced");
    EXPECT_EQ(got.details.back().second, rate);
    train::ForwardContext scoring = forwarding_.context;
    scoring.training = false;
    EXPECT_EQ(around.loss(*network, scoring, kExamples, 0).sum.item<double>(), of_student);
    scoring.training = true;
    scoring.progress = 0.5;  // behind the stage of replacing
    EXPECT_EQ(around.loss(*network, scoring, kExamples, 0).sum.item<double>(), of_student);
  }
}

TEST_F(Theseus, GradientsReachSuccessorsThatAreInAlone) {
  const auto task = objective(student_);
  const auto network = testing::make_network(student_);
  const auto teacher = testing::make_network(teacher_);
  train::RuleSettings only;
  only.only_layers = true;
  const auto rules = train::make_rules(network->parameters, student_.description, only);
  std::size_t i = 0;
  for (const auto& entry : network->parameters) {
    at::Tensor tensor = entry.tensor;
    tensor.set_requires_grad(!rules[i++].frozen);
  }
  distill::ReplaceableModules modules(*network, teacher_, teacher->parameters, {2, 2});
  for (const std::vector<bool>& replaced : {std::vector<bool>{true, false}, std::vector<bool>{false, true}}) {
    network->parameters.zero_gradients();
    const train::Network& mixed = modules.network(replaced);
    task->loss(mixed, forwarding_.context, kExamples, 0).sum.backward();
    const std::string in = replaced[0] ? "encoder.layer.0." : "encoder.layer.1.";
    int learning = 0, frozen = 0;
    for (const auto& entry : mixed.parameters) {
      EXPECT_EQ(entry.tensor.grad().defined(), entry.name.starts_with(in)) << entry.name;
      learning += entry.tensor.grad().defined() ? 1 : 0;
      frozen += entry.name.starts_with("predecessor.") ? 1 : 0;
    }
    EXPECT_EQ(learning, 16);
    EXPECT_EQ(frozen, 4 * 16);
    for (const auto& entry : teacher->parameters) EXPECT_FALSE(entry.tensor.grad().defined()) << entry.name;
    // The same gradient as that of the model of these layers, through what is frozen above.
    Model alone = keep_layers(teacher_, replaced[0] ? std::vector<int>{0, 2, 3} : std::vector<int>{0, 1, 3});
    const auto whole = testing::make_network(alone);
    const auto same = objective(alone);
    same->loss(*whole, forwarding_.context, kExamples, 0).sum.backward();
    const std::string name = ".attention.self.query.weight", there = replaced[0] ? "0" : "2";
    EXPECT_TRUE(network->parameters.at(in.substr(0, in.size() - 1) + name)
                    .grad()
                    .equal(whole->parameters.at("encoder.layer." + there + name).grad()));
  }
  // Where none is in, nothing is learned, and the loop's backward goes through.
  const distill::TheseusObjective none(
      objective(student_), distill::ReplaceableModules(*network, teacher_, teacher->parameters, {2, 2}),
      {Replacing::Kind::kConstant, 0, 0, 1});
  network->parameters.zero_gradients();
  none.loss(*network, forwarding_.context, kExamples, 0).sum.backward();
  for (const auto& entry : network->parameters) EXPECT_FALSE(entry.tensor.grad().defined()) << entry.name;
}

TEST_F(Theseus, TheResultIsTheStudentWithLearnedLayers) {
  distill::TheseusSettings s = settings("out");
  s.training.loop.epochs = 8;
  s.training.loop.learning_rate = 2e-3;
  std::string told;
  const train::FinetuneResult result = distill::theseus(s, [&](const std::string& text) { told += text; });
  EXPECT_EQ(result.loop.steps, 48);
  EXPECT_EQ(result.loop.evaluations.back().scores.front().second, 1);
  EXPECT_NE(told.find("1-2"), std::string::npos) << told;
  const Model out = read_model(work_ / "out");
  EXPECT_EQ(out.description.num_layers, 2);
  for (const auto& [name, tensor] : out.tensors) {
    const Tensor& before = student_.tensors.at(name);
    const bool same = std::equal(before.bytes.begin(), before.bytes.end(), tensor.bytes.begin());
    EXPECT_EQ(same, !name.starts_with("encoder.")) << name;
  }
  for (const auto& [name, tensor] : student_.tensors) EXPECT_TRUE(out.tensors.find(name) != nullptr) << name;
}

TEST_F(Theseus, AsAStepItGivesTheSame) {
  Json given = testing::two_epochs(work_.path(), 1e-3);
  given.set("replacing", "constant");
  given.set("replacing_rate", 0.5);
  const auto [stepped, report] =
      testing::apply_step("theseus", student_, given, work_ / "work", work_ / "teacher");
  distill::TheseusSettings s = settings("out");
  s.replacing = {Replacing::Kind::kConstant, 0.5, 0, 0.5};
  s.training.loop.epochs = 2;
  (void)distill::theseus(s, kQuiet);
  testing::expect_same_tensors(stepped, read_model(work_ / "out"));
}

TEST_F(Theseus, WhatDoesNotFitIsRefused) {
  distill::TheseusSettings s = settings("out");
  s.teacher = (work_ / "model").string();  // without the head
  EXPECT_NE(refusal(s).find("outputs"), std::string::npos) << refusal(s);
  Model other = teacher_;
  const std::string words = "embeddings.word_embeddings.weight";
  std::vector<float> values = read_floats(other.tensors.at(words), words);
  values[7] += 0.5f;
  other.tensors.set(words, Tensor::from_floats(other.tensors.at(words).shape, values));
  write_model(other, work_ / "other");
  s.teacher = (work_ / "other").string();
  EXPECT_NE(refusal(s).find(words), std::string::npos) << refusal(s);
  s.teacher = "scores.npy";
  EXPECT_NE(refusal(s).find("scores.npy"), std::string::npos) << refusal(s);
  s = settings("out");
  s.groups = {1, 1};
  EXPECT_NE(refusal(s).find("groups"), std::string::npos) << refusal(s);
  s = settings("out");
  s.training.fake_quant.emplace();
  EXPECT_NE(refusal(s).find("quantize_aware"), std::string::npos) << refusal(s);
}

}  // namespace
}  // namespace penjing
