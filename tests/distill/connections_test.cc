// A plan at work on small random models: what each loss is given, compared with the same losses on inputs
// that are prepared by hand.
#include "distill/connections.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "distill/attention_heads.h"
#include "distill/projection_init.h"

namespace penjing::distill {
namespace {

constexpr int64_t kStudentWidth = 4, kTeacherWidth = 6, kStudentLayers = 2, kTeacherLayers = 3;
const std::vector<int64_t> kOffsets = {0, 3, 4, 6};
const std::vector<int64_t> kExamples = {7, 2, 5};

at::Tensor random(at::IntArrayRef sizes, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn(sizes, generator, at::TensorOptions().dtype(at::kDouble));
}

ModelShape shape(int64_t layers, int64_t width, int64_t heads) {
  return {std::vector<int64_t>(static_cast<std::size_t>(layers) + 1, width),
          std::vector<int64_t>(static_cast<std::size_t>(layers), heads), 3, width};
}

Outputs outputs(int64_t layers, int64_t width, int64_t heads, uint64_t seed, bool gradient) {
  Outputs out;
  const auto leaf = [&](at::IntArrayRef sizes) { return random(sizes, seed++).requires_grad_(gradient); };
  out.logits = leaf({3, 3});
  out.token_logits = leaf({2, 5});
  out.embeddings = leaf({3, width});
  for (int64_t m = 0; m <= layers; ++m) {
    LayerOutputs& layer = out.layers.emplace_back();
    layer.rows = leaf({kOffsets.back(), width});
    layer.num_heads = heads;
    for (std::size_t i = 0; m > 0 && i + 1 < kOffsets.size(); ++i) {
      const int64_t length = kOffsets[i + 1] - kOffsets[i];
      layer.scores.push_back(leaf({heads, length, length}));
    }
  }
  return out;
}

struct Work {
  explicit Work(const char* losses, int64_t student_heads = 2, int64_t teacher_heads = 2,
                int64_t student_width = kStudentWidth)
      : student(outputs(kStudentLayers, student_width, student_heads, 100, true)),
        teacher(outputs(kTeacherLayers, kTeacherWidth, teacher_heads, 500, true)) {
    const ModelShape s = shape(kStudentLayers, student_width, student_heads),
                     t = shape(kTeacherLayers, kTeacherWidth, teacher_heads);
    ConnectionSetup setup;
    setup.parameters = &parameters;
    setup.type = at::kDouble;
    setup.num_examples = 9;
    setup.student_words = random({20, student_width}, 1);
    setup.teacher_words = random({20, kTeacherWidth}, 2);
    connections = std::make_unique<Connections>(read_plan(Json::parse(losses, "plan"), s, t), s, t, setup);
  }
  std::vector<PlannedLoss> losses(double progress = 0, bool training = true) {
    return connections->losses({student,
                                teacher,
                                kOffsets,
                                kExamples,
                                {},
                                {},
                                {1, static_cast<uint64_t>(100 * progress)},
                                progress,
                                training});
  }
  double value(std::size_t i = 0, double progress = 0) { return losses(progress).at(i).value.item<double>(); }

  train::Parameters parameters;
  Outputs student, teacher;
  std::unique_ptr<Connections> connections;
};

double mean_square(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).square().mean().item<double>();
}

TEST(Connections, ProjectTheMatchedLayers) {
  Work work(R"([{"loss": "mse", "layers": [[1, 3], [2, 1]]}])");
  ASSERT_EQ(work.parameters.size(), 4u);
  double wanted = 0;
  for (int place = 0; place < 2; ++place) {
    const std::string name = "aside.distill.projection.mse." + std::to_string(place);
    const at::Tensor rows =
        at::matmul(work.student.layers[place + 1].rows, work.parameters.at(name + ".weight").t()) +
        work.parameters.at(name + ".bias");
    wanted += mean_square(rows, work.teacher.layers[place == 0 ? 3 : 1].rows);
  }
  EXPECT_NEAR(work.value(), wanted, 1e-12);
  work.losses()[0].value.backward();
  EXPECT_TRUE(work.student.layers[1].rows.grad().defined());
  EXPECT_FALSE(work.student.layers[0].rows.grad().defined());
  EXPECT_FALSE(work.teacher.layers[3].rows.grad().defined()) << "the teacher is no constant";
  EXPECT_TRUE(work.parameters.at("aside.distill.projection.mse.0.weight").grad().defined());
}

TEST(Connections, ShareAProjectionOfOneName) {
  Work work(R"([{"loss": "mse", "name": "embeddings", "layers": [[0, 0]],
                 "projection": {"name": "fit", "per_layer": false}},
                {"loss": "mse", "name": "hidden", "reduce": "mean", "projection": {"name": "fit", "per_layer": false}}])");
  ASSERT_EQ(work.parameters.size(), 2u);
  const at::Tensor weight = work.parameters.at("aside.distill.projection.fit.weight");
  const auto project = [&](int layer) { return at::matmul(work.student.layers[layer].rows, weight.t()); };
  EXPECT_NEAR(work.value(0), mean_square(project(0), work.teacher.layers[0].rows), 1e-12);
  // Two layers of three: 1 with 2 (1.5 rounds up), 2 with 3.
  EXPECT_NEAR(work.value(1),
              (mean_square(project(1), work.teacher.layers[2].rows) +
               mean_square(project(2), work.teacher.layers[3].rows)) /
                  2,
              1e-12);
}

TEST(Connections, ProjectSentenceEmbeddings) {
  Work work(
      R"([{"loss": "mse", "params": {"of": "embeddings"}, "projection": {"bias": false, "init": "identity"}}])");
  const at::Tensor padded = at::cat({work.student.embeddings, at::zeros({3, 2}, at::kDouble)}, 1);
  EXPECT_NEAR(work.value(), mean_square(padded, work.teacher.embeddings), 1e-12);
}

TEST(Connections, MixTeacherLayersWithLearnedWeights) {
  Work work(
      R"([{"loss": "mse", "layers": {"attention": [2], "teacher": [1, 3]}, "projection": {"init": "identity"}}])");
  at::Tensor weights = work.parameters.at("aside.distill.mse.layers");
  ASSERT_EQ(weights.numel(), 2);
  {
    const at::NoGradGuard no_gradient;
    weights.copy_(at::tensor({0.0, std::log(3.0)}, at::kDouble));  // shares 1/4 and 3/4
  }
  const at::Tensor padded = at::cat({work.student.layers[2].rows, at::zeros({6, 2}, at::kDouble)}, 1);
  const at::Tensor mixed = 0.25 * work.teacher.layers[1].rows + 0.75 * work.teacher.layers[3].rows;
  EXPECT_NEAR(work.value(), mean_square(padded, mixed), 1e-12);
  work.losses()[0].value.backward();
  EXPECT_GT(weights.grad().abs().max().item<double>(), 0) << "the mixture does not learn";
  EXPECT_FALSE(work.teacher.layers[1].rows.grad().defined()) << "the teacher is no constant";
}

TEST(Connections, MixAttentionAsProbabilities) {
  Work work(R"([{"loss": "attention_kl", "layers": {"attention": [1], "teacher": [1, 2]}}])");
  double wanted = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const at::Tensor p = 0.5 * (at::softmax(work.teacher.layers[1].scores[i], -1) +
                                at::softmax(work.teacher.layers[2].scores[i], -1));
    const at::Tensor q = at::softmax(work.student.layers[1].scores[i], -1);
    wanted += (p * (p / q).log()).sum().item<double>() / (2 * 6);
  }
  EXPECT_NEAR(work.value(), wanted, 1e-12);
}

TEST(Connections, AverageHeads) {
  // Four heads of the student onto two of the teacher: scores by their mean, attention by its probabilities'.
  Work work(R"([{"loss": "attention_mse", "layers": "final", "heads": "mean"},
                {"loss": "attention_kl", "layers": "final", "heads": "mean"}])",
            4, 2);
  double squares = 0, divergence = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const at::Tensor s = work.student.layers[2].scores[i], t = work.teacher.layers[3].scores[i];
    for (int head = 0; head < 2; ++head) {
      squares += (0.5 * (s[2 * head] + s[2 * head + 1]) - t[head]).square().sum().item<double>();
      const at::Tensor q = 0.5 * (at::softmax(s[2 * head], -1) + at::softmax(s[2 * head + 1], -1));
      const at::Tensor p = at::softmax(t[head], -1);
      divergence += (p * (p / q).log()).sum().item<double>();
    }
  }
  EXPECT_NEAR(work.value(0), squares / (2 * (9 + 1 + 4)), 1e-12);
  EXPECT_NEAR(work.value(1), divergence / (2 * 6), 1e-12);
}

TEST(Connections, MatchHeadsByPairs) {
  Work work(R"([{"loss": "attention_mse", "layers": "final", "heads": [[3, 0], [0, 1], [1, 1]]}])", 4, 2);
  double squares = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const at::Tensor s = work.student.layers[2].scores[i], t = work.teacher.layers[3].scores[i];
    squares += (s[3] - t[0]).square().sum().item<double>() + (s[0] - t[1]).square().sum().item<double>() +
               (s[1] - t[1]).square().sum().item<double>();
  }
  EXPECT_NEAR(work.value(), squares / (3 * 14), 1e-12);
}

TEST(Connections, TellWhatIsReadAndWhen) {
  Work work(
      R"([{"loss": "fsp", "layers": [[0, 0], [1, 2]], "to": 0.5}, {"loss": "attention_kl", "layers": "final"},
                {"loss": "kd", "from": 0.5, "weight": [0, 2], "ramp": 0.5},
                {"loss": "masked_lm", "from": 0.75, "params": {"positions": "all"}}])");
  Connections& c = *work.connections;
  EXPECT_EQ(c.student_needs(0, 0.2), unsigned{kRows});
  EXPECT_EQ(c.student_needs(1, 0.2), unsigned{kRows});
  EXPECT_EQ(c.student_needs(1, 0.6), 0u);
  EXPECT_EQ(c.student_needs(2, 0.6), unsigned{kAttention});
  EXPECT_EQ(c.teacher_needs(2, 0.2), unsigned{kRows});
  EXPECT_EQ(c.teacher_needs(3, 0.2), unsigned{kAttention});
  EXPECT_EQ(c.whole_needs(0.2), 0u);
  EXPECT_EQ(c.whole_needs(0.6), unsigned{kLogits});
  EXPECT_EQ(c.whole_needs(0.8), unsigned{kLogits | kTokenLogits});
  EXPECT_FALSE(c.relates_examples());

  ASSERT_EQ(work.losses(0.2).size(), 2u);
  EXPECT_EQ(work.losses(0.2)[0].name, "fsp");
  EXPECT_EQ(work.losses(0.2)[0].units, 3);  // sequences
  EXPECT_EQ(work.losses(0.2)[1].units, 6);  // tokens
  const std::vector<PlannedLoss> later = work.losses(0.75);
  ASSERT_EQ(later.size(), 3u);
  EXPECT_EQ(later[1].name, "kd");
  EXPECT_EQ(later[1].weight, 1);
  // masked_lm has the token logits, kd the head's.
  EXPECT_EQ(later[1].units, 3);
  EXPECT_EQ(later[2].units, 2);
}

TEST(Connections, StateOfMemoryBanksGoesOnBitForBit) {
  const char* losses = R"([{"loss": "crd", "layers": "final",
                            "params": {"candidates": "all", "negatives": 11, "dim": 5}}])";
  Work first(losses), second(losses);
  for (const double step : {0.1, 0.2}) first.losses(step);
  const TensorMap state = first.connections->state();
  EXPECT_EQ(state.size(), 3u);
  second.connections->restore(state);
  for (const double step : {0.3, 0.4}) EXPECT_NEAR(first.value(0, step), second.value(0, step), 1e-5);

  // In FP32, as in training: the same bits.
  const ModelShape s = shape(kStudentLayers, kStudentWidth, 2), t = shape(kTeacherLayers, kTeacherWidth, 2);
  train::Parameters parameters[2];
  std::vector<Connections> both;
  for (train::Parameters& p : parameters) {
    ConnectionSetup setup;
    setup.parameters = &p;
    setup.num_examples = 9;
    both.emplace_back(read_plan(Json::parse(losses, "plan"), s, t), s, t, setup);
  }
  const auto value = [&](Connections& c, uint64_t step) {
    Outputs student = first.student, teacher = first.teacher;
    for (Outputs* side : {&student, &teacher}) {
      for (LayerOutputs& layer : side->layers) layer.rows = layer.rows.detach().to(at::kFloat);
    }
    return c.losses({student, teacher, kOffsets, kExamples, {}, {}, {1, step}, 0, true})[0]
        .value.item<float>();
  };
  const float before = value(both[0], 1);
  value(both[0], 2);
  both[1].restore(both[0].state());
  for (uint64_t step = 3; step < 6; ++step) EXPECT_EQ(value(both[0], step), value(both[1], step));
  EXPECT_NE(before, value(both[0], 1)) << "the banks do not change";
}

TEST(Connections, LearnedTensorsAreNotStoredInTheModel) {
  train::Parameters parameters;
  parameters.add(std::string(kLearnedPrefix) + "projection.fit.weight", at::ones({1}));
  parameters.add("encoder.weight", at::ones({1}));
  Model model;
  train::store_parameters(parameters, model);
  EXPECT_EQ(model.tensors.size(), 1u);
  EXPECT_NE(model.tensors.find("encoder.weight"), nullptr);
}

TEST(ProjectionInit, SvdIsTheWayBackFromACutWidth) {
  // A table of rank 2 in 6 dimensions: cut to 2 by the same vectors and projected back it is itself.
  const at::Tensor table = at::mm(random({30, 2}, 3), random({2, 6}, 4));
  const at::Tensor weight = projection_weight("svd", 2, 6, {}, table);  // [6, 2]
  EXPECT_LT((at::mm(weight.t(), weight) - at::eye(2, at::kDouble)).abs().max().item<double>(), 1e-12);
  EXPECT_LT((at::mm(at::mm(table, weight), weight.t()) - table).abs().max().item<double>(), 1e-10);
  for (int i = 0; i < 2; ++i) {
    const at::Tensor column = weight.select(1, i);
    EXPECT_GT(column[column.abs().argmax()].item<double>(), 0);
  }
  // By falling singular value: the first explains most.
  EXPECT_GT(at::mm(table, weight.narrow(1, 0, 1)).norm().item<double>(),
            at::mm(table, weight.narrow(1, 1, 1)).norm().item<double>());
}

TEST(ProjectionInit, LeastSquaresFindsTheMap) {
  const at::Tensor student = random({30, 3}, 5), map = random({5, 3}, 6);
  const at::Tensor found = projection_weight("least_squares", 3, 5, student, at::mm(student, map.t()));
  EXPECT_LT((found - map).abs().max().item<double>(), 1e-10);
  EXPECT_THROW(projection_weight("least_squares", 3, 5, random({29, 3}, 5), random({30, 5}, 7)), Error);
}

}  // namespace
}  // namespace penjing::distill
