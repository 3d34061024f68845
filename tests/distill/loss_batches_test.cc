// Losses and batches: what is the mean over sequences or tokens is the same for them one by one, rows of less
// precision are widened, what is missing is named, stages and memories of losses that have them.
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "base/error.h"
#include "tests/distill/reference_case.h"

namespace penjing::distill::testing {
namespace {

// Sequence i of a side (or row i of its logits).
Side part_of(const Side& side, std::span<const int64_t> offsets, int64_t i) {
  Side out;
  if (side.logits.defined()) out.logits = side.logits.narrow(0, i, 1);
  if (side.embeddings.defined()) out.embeddings = side.embeddings.narrow(0, i, 1);
  for (const LayerOutputs& layer : side.layers) {
    LayerOutputs& to = out.layers.emplace_back();
    const int64_t begin = offsets[i], length = offsets[i + 1] - begin;
    const auto rows = [&](const at::Tensor& x) { return x.defined() ? x.narrow(0, begin, length) : x; };
    to.rows = rows(layer.rows);
    to.query = rows(layer.query);
    to.key = rows(layer.key);
    to.value = rows(layer.value);
    to.num_heads = layer.num_heads;
    if (!layer.scores.empty()) to.scores = {layer.scores[static_cast<std::size_t>(i)]};
  }
  return out;
}

TEST(LossBatches, SequencesDoNotInfluenceEachOther) {
  std::set<std::string> seen;
  for (const Json* json : reference_cases()) {
    ReferenceCase it(*json, at::kDouble);
    if (it.loss().relates_examples()) continue;
    SCOPED_TRACE(it.name());
    seen.insert(json->find("loss")->as_string("loss"));
    const LossInput whole = it.input();
    const at::Tensor sum = it.loss().value(whole) * it.loss().units(whole);
    std::vector<at::Tensor> leaves;
    for (const auto& [name, leaf] : it.leaves()) leaves.push_back(leaf);
    const auto gradients = torch::autograd::grad({sum}, leaves, {}, c10::nullopt, false, true);

    at::Tensor parts = at::zeros({}, at::kDouble);
    const int64_t n =
        whole.offsets.empty()
            ? (whole.student.logits.defined() ? whole.student.logits : whole.student.embeddings).size(0)
            : static_cast<int64_t>(whole.offsets.size()) - 1;
    for (int64_t i = 0; i < n; ++i) {
      const Side student = part_of(whole.student, whole.offsets, i),
                 teacher = part_of(whole.teacher, whole.offsets, i);
      std::vector<int64_t> offsets;
      if (!whole.offsets.empty()) offsets = {0, whole.offsets[i + 1] - whole.offsets[i]};
      const LossInput part{student,
                           teacher,
                           offsets,
                           {},
                           whole.labels.defined() ? whole.labels.narrow(0, i, 1) : whole.labels,
                           whole.random,
                           whole.progress,
                           false,
                           true};
      parts = parts + it.loss().value(part) * it.loss().units(part);
    }
    const double scale = std::max(1.0, std::abs(sum.item<double>()));
    EXPECT_NEAR(parts.item<double>(), sum.item<double>(), 1e-12 * scale);
    const auto again = torch::autograd::grad({parts}, leaves, {}, c10::nullopt, false, true);
    for (std::size_t k = 0; k < leaves.size(); ++k) {
      ASSERT_EQ(gradients[k].defined(), again[k].defined());
      if (!gradients[k].defined()) continue;
      EXPECT_LE((gradients[k] - again[k]).abs().max().item<double>(),
                1e-11 * std::max(1.0, gradients[k].abs().max().item<double>()));
    }
  }
  for (const char* name :
       {"kd", "mse", "cosine", "pkd", "fitnet", "at", "vid", "ab", "ft", "fsp", "nst", "attention_mse",
        "attention_kl", "minilm", "feature_map", "masked_lm", "margin_mse", "adversarial"})
    EXPECT_TRUE(seen.contains(name)) << name;
}

TEST(LossBatches, RelationsAreAmongTheBatchAlone) {
  for (const char* name : {"sp", "cc", "rkd", "pkt", "crd", "ofd", "contrastive"}) {
    for (const Json* json : reference_cases()) {
      if (json->find("loss")->as_string("loss") != name) continue;
      EXPECT_TRUE(ReferenceCase(*json, at::kFloat).loss().relates_examples()) << name;
      break;
    }
  }
}

TEST(LossBatches, RowsOfLessPrecisionAreWidened) {
  for (const Json* json : reference_cases()) {
    ReferenceCase it(*json, at::kFloat);
    SCOPED_TRACE(it.name());
    const auto narrow = [](at::Tensor& x) {
      if (x.defined()) x = x.detach().to(at::kBFloat16).requires_grad_(x.requires_grad());
    };
    const auto narrow_all = [&](Side& side) {
      narrow(side.logits), narrow(side.embeddings);
      for (LayerOutputs& layer : side.layers) {
        narrow(layer.rows), narrow(layer.query), narrow(layer.key), narrow(layer.value);
        for (at::Tensor& scores : layer.scores) narrow(scores);
      }
    };
    narrow_all(it.student()), narrow_all(it.teacher());
    const at::Tensor value = it.value();
    EXPECT_EQ(value.scalar_type(), at::kFloat);
    const auto widen_all = [&](Side& side) {
      const auto widen = [](at::Tensor& x) {
        if (x.defined()) x = x.detach().to(at::kFloat);
      };
      widen(side.logits), widen(side.embeddings);
      for (LayerOutputs& layer : side.layers) {
        widen(layer.rows), widen(layer.query), widen(layer.key), widen(layer.value);
        for (at::Tensor& scores : layer.scores) widen(scores);
      }
    };
    widen_all(it.student()), widen_all(it.teacher());
    EXPECT_EQ(it.value().item<float>(), value.item<float>());
  }
}

TEST(LossBatches, TheTeacherIsAConstant) {
  for (const Json* json : reference_cases()) {
    ReferenceCase it(*json, at::kFloat);
    SCOPED_TRACE(it.name());
    std::vector<at::Tensor> tensors;
    const auto ask = [&](at::Tensor& x) {
      if (x.defined()) tensors.push_back(x.requires_grad_());
    };
    ask(it.teacher().logits), ask(it.teacher().embeddings);
    for (LayerOutputs& layer : it.teacher().layers) {
      ask(layer.rows), ask(layer.query), ask(layer.key), ask(layer.value);
      for (at::Tensor& scores : layer.scores) ask(scores);
    }
    const at::Tensor value = it.value();
    if (value.requires_grad()) value.backward();
    for (const at::Tensor& tensor : tensors) EXPECT_FALSE(tensor.grad().defined());
  }
}

TEST(LossBatches, WhatIsMissingIsNamed) {
  for (const Json* json : reference_cases()) {
    ReferenceCase it(*json, at::kFloat);
    SCOPED_TRACE(it.name());
    it.teacher() = Side();
    try {
      it.value();
      ADD_FAILURE() << "a teacher without outputs was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInternal);
      EXPECT_NE(std::string(error.what()).find("teacher's"), std::string::npos) << error.what();
    }
  }
}

// One score an example (regression): a softmax over it would teach nothing, silently.
TEST(LossBatches, OneLogitIsNoDistribution) {
  for (const char* name : {"kd", "margin_mse"}) {
    train::Parameters parameters;
    LossSetup setup;
    setup.parameters = &parameters;
    const LossKind* kind = find_loss(name);
    const std::unique_ptr<Loss> loss = kind->make(resolve_loss_params(*kind, Json::object()), setup);
    const Side side{at::zeros({3, 1}), {}, {}};
    try {
      loss->value({side, side, {}, {}, {}, {}, 0, true, true});
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput) << error.what();
    }
  }
}

const Json& case_of(const std::string& name) {
  for (const Json* json : reference_cases()) {
    if (json->find("name")->as_string("name") == name) return *json;
  }
  ADD_FAILURE() << name;
  return *reference_cases().front();
}

TEST(LossBatches, RelationHeadsMustDivideTheWidth) {
  ReferenceCase it(case_of("minilm_v2"), at::kFloat);
  const LossKind* kind = find_loss("minilm");
  LossSetup setup;
  setup.places.resize(1);
  const auto loss =
      kind->make(resolve_loss_params(
                     *kind, Json::object({{"relation_heads", 3}, {"relations", Json::Array{Json("key")}}})),
                 setup);
  try {
    loss->value(it.input());
    ADD_FAILURE() << "4 elements were split into 3 heads";
  } catch (const Error& error) {
    // Of 4 or of 8: student and teacher are split in the order that the compiler takes arguments.
    EXPECT_EQ(std::string(error.what()).substr(0, 46), "minilm: relation_heads: 3 heads of vectors of ");
  }
}

// ft: the paraphraser learns in its stage and is a constant after it.
TEST(LossBatches, FactorTransferHasTwoStages) {
  for (const bool first : {true, false}) {
    ReferenceCase it(case_of(first ? "ft_paraphraser" : "ft_code"), at::kFloat);
    it.value().backward();
    for (const auto& [name, leaf] : it.leaves()) {
      const bool of_paraphraser = name.find("paraphraser") != std::string::npos;
      EXPECT_EQ(leaf.grad().defined(), of_paraphraser == first) << name;
    }
  }
}

// crd: a call in training moves the examples' rows of both banks, and no others; its normalisers are the
// first batch's.
TEST(LossBatches, MemoryBanksFollowTheBatch) {
  ReferenceCase it(case_of("crd_first_batch"), at::kFloat);
  const auto tensor = [&](const char* name) {
    return train::to_torch(it.loss().state().at(std::string("distill.test.0.") + name), name);
  };
  const at::Tensor before = tensor("student_bank");
  it.value(false);
  EXPECT_TRUE(tensor("student_bank").equal(before));
  const at::Tensor normalisers = tensor("normalisers");
  EXPECT_GT(normalisers.min().item<float>(), 0);
  it.value(true);
  const at::Tensor after = tensor("student_bank");
  const std::set<int64_t> examples = {5, 0, 3};
  for (int64_t row = 0; row < 7; ++row) {
    EXPECT_EQ(after[row].equal(before[row]), !examples.contains(row)) << row;
    if (!examples.contains(row)) continue;
    EXPECT_NEAR(after[row].norm().item<float>(), 1, 1e-6);
  }
  EXPECT_TRUE(tensor("normalisers").equal(normalisers));
  // The moved row is halfway between bank and representation, at length 1.
  at::Tensor rows = it.student().layers[0].rows;
  const auto& p = it.parameters();
  const at::Tensor g =
      at::linear(rows[0], p.at("distill.test.0.student.weight"), p.at("distill.test.0.student.bias"));
  const at::Tensor moved = 0.5 * before[5] + 0.5 * g / g.norm();
  EXPECT_LT((after[5] - moved / moved.norm()).abs().max().item<float>(), 1e-6);
}

TEST(LossBatches, NegativesAreOfOtherClassesAndDependOnStepAndExample) {
  const Json& json = case_of("crd_code");
  const auto value = [&](uint64_t step) {
    ReferenceCase it(json, at::kDouble);
    LossInput input = it.input();
    input.random.step = step;
    return it.loss().value(input).item<double>();
  };
  EXPECT_EQ(value(11), value(11));
  EXPECT_NE(value(11), value(12));
  LossSetup setup;
  train::Parameters parameters;
  setup.parameters = &parameters;
  setup.places = {{4, 4}};
  setup.num_examples = 3;
  const std::vector<int64_t> one_class = {1, 1, 1};
  const LossKind* crd = find_loss("crd");
  const Json params = resolve_loss_params(*crd, Json::object());
  EXPECT_THROW(crd->make(params, setup), Error);
  setup.example_labels = one_class;
  EXPECT_THROW(crd->make(params, setup), Error);
}

}  // namespace
}  // namespace penjing::distill::testing
