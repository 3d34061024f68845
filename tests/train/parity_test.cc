// Training steps of a two-layer BERT on real sentences against what PyTorch computes in double precision:
// losses, gradients, parameters after a step of AdamW, the curve of ten steps; for four heads. The full
// comparison, on BERT-base and MiniLM, is tools/oracles/train_parity.py.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/train/gradient_reference.h"
#include "tests/train/tiny_network.h"
#include "train/optimizer.h"
#include "train/parameter_rules.h"
#include "train/schedule.h"

namespace penjing::train {
namespace {

using penjing::testing::doubles;
using penjing::testing::formula_weight;
using penjing::testing::Forwarding;
using penjing::testing::gradient_distance;
using penjing::testing::train_reference;

struct Head {
  const char* name;
  const char* architecture;
  HeadKind kind;
  int64_t labels;
};
constexpr Head kHeads[] = {
    {"classification", "BertForSequenceClassification", HeadKind::kSequenceClassifier, 3},
    {"regression", "BertForSequenceClassification", HeadKind::kSequenceClassifier, 1},
    {"tokens", "BertForTokenClassification", HeadKind::kTokenClassifier, 5},
    {"masked", "BertForMaskedLM", HeadKind::kMaskedLm, 0}};

Model make_model(const Head& head) {
  const int64_t vocab = train_reference().find("vocab_size")->as_int("vocab_size");
  Model model;
  model.config = Json::object({{"architectures", Json(Json::Array{Json(head.architecture)})},
                               {"model_type", "bert"},
                               {"vocab_size", vocab},
                               {"hidden_size", 32},
                               {"num_hidden_layers", 2},
                               {"num_attention_heads", 4},
                               {"intermediate_size", 64},
                               {"max_position_embeddings", 64},
                               {"type_vocab_size", 2},
                               {"hidden_act", "gelu"},
                               {"layer_norm_eps", 1e-12},
                               {"num_labels", head.labels}});
  const auto add = [&](const std::string& name, const Shape& shape) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = formula_weight(name, i);
    model.tensors.set(name, Tensor::from_floats(shape, values));
  };
  const auto layer = [&](const std::string& name, int64_t in, int64_t out) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  };
  const auto norm = [&](const std::string& name) {
    add(name + ".weight", {32});
    add(name + ".bias", {32});
  };
  add("embeddings.word_embeddings.weight", {vocab, 32});
  add("embeddings.position_embeddings.weight", {64, 32});
  add("embeddings.token_type_embeddings.weight", {2, 32});
  norm("embeddings.LayerNorm");
  for (const std::string base : {"encoder.layer.0.", "encoder.layer.1."}) {
    for (const char* part : {"query", "key", "value"}) layer(base + "attention.self." + part, 32, 32);
    layer(base + "attention.output.dense", 32, 32);
    norm(base + "attention.output.LayerNorm");
    layer(base + "intermediate.dense", 32, 64);
    layer(base + "output.dense", 64, 32);
    norm(base + "output.LayerNorm");
  }
  if (head.kind == HeadKind::kMaskedLm) {
    layer("cls.predictions.transform.dense", 32, 32);
    norm("cls.predictions.transform.LayerNorm");
    add("cls.predictions.bias", {vocab});
  } else {
    if (head.kind == HeadKind::kSequenceClassifier) layer("pooler.dense", 32, 32);
    layer("classifier", 32, head.labels);
  }
  complete_model(model);
  return model;
}

std::vector<int32_t> integers(const Json& list) {
  std::vector<int32_t> out;
  for (const Json& value : list.as_array("list")) out.push_back(static_cast<int32_t>(value.as_int("value")));
  return out;
}

// Mean loss of the examples [8 part, 8 part + 8).
at::Tensor mean_loss(const Head& head, const Json& truths, const train::Network& network, int part) {
  const Forwarding forwarding;
  RaggedBatch batch;
  std::vector<int64_t> classes;
  std::vector<float> scores;
  for (int i = 8 * part; i < 8 * part + 8; ++i) {
    batch.append(integers(train_reference().find("ids")->as_array("ids")[i]),
                 integers(train_reference().find("types")->as_array("types")[i]));
    const Json& truth = truths.as_array("truth")[i];
    if (truth.is_array()) {
      for (const int32_t label : integers(truth)) classes.push_back(label);
    } else if (head.labels == 1) {
      scores.push_back(static_cast<float>(truth.as_double("truth")));
    } else {
      classes.push_back(truth.as_int("truth"));
    }
  }
  const PackedBatch packed = penjing::testing::pack_numbered(batch);
  const at::Tensor logits = run_head(network.model->description, network.parameters, head.kind,
                                     network.encoder->forward(packed, forwarding.context), packed,
                                     at::Tensor(), forwarding.context);
  if (head.labels == 1) return at::mse_loss(logits.squeeze(1), at::tensor(scores));
  return at::cross_entropy_loss(logits, at::tensor(classes, at::kLong));
}

class Parity : public ::testing::TestWithParam<Head> {};

TEST_P(Parity, LossesGradientsAndStepsAreThoseOfPyTorch) {
  const Head& head = GetParam();
  const Json& reference = *train_reference().find("heads")->find(head.name);
  const Model model = make_model(head);
  const auto network = penjing::testing::make_network(model);
  const auto rules = make_rules(network->parameters, model.description, {});
  const auto optimizer = make_optimizer({});
  const Schedule schedule = {Schedule::Kind::kLinear, 2, 10};
  const std::vector<double> losses = doubles(*reference.find("losses"));
  const Json& gradients = *reference.find("gradients");
  const double global = reference.find("gradient_norm")->as_double("gradient_norm");
  for (int step = 0; step < 10; ++step) {
    network->parameters.zero_gradients();
    const at::Tensor loss = mean_loss(head, *reference.find("truth"), *network, step % 3);
    loss.backward();
    // The first two are of the weights as they were; the curve afterwards may drift.
    EXPECT_NEAR(loss.item<double>() / losses[step], 1, step < 2 ? 1e-5 : 1e-4) << "step " << step;
    double square = 0;
    for (const Parameters::Entry& entry : network->parameters) {
      if (entry.tensor.grad().defined()) square += std::pow(entry.tensor.grad().norm().item<double>(), 2);
    }
    if (step == 1) {
      EXPECT_NEAR(std::sqrt(square) / global, 1, 1e-5);
      std::size_t compared = 0;
      for (const Parameters::Entry& entry : network->parameters) {
        const Json* stored = gradients.find(entry.name);
        if (stored == nullptr) {
          EXPECT_FALSE(entry.tensor.grad().defined()) << entry.name << " has none in PyTorch";
          continue;
        }
        ++compared;
        ASSERT_TRUE(entry.tensor.grad().defined()) << entry.name;
        // The gradient of a key's bias is mathematically zero.
        if (entry.name.ends_with("key.bias")) continue;
        const double norm = stored->find("norm")->as_double("norm");
        EXPECT_LE(gradient_distance(entry.name, entry.tensor.grad(), *stored), 1e-4 * norm + 1e-6 * global)
            << entry.name;
      }
      EXPECT_EQ(compared, gradients.as_object("gradients").size());
    }
    optimizer->step(network->parameters, rules, 1e-3 * schedule.factor(step),
                    std::min(1.0, 1 / (std::sqrt(square) + 1e-6)));
    if (step != 1) continue;
    for (const auto& [name, stored] : reference.find("parameters")->as_object("parameters")) {
      const double norm = stored.find("norm")->as_double("norm");
      if (name.ends_with("key.bias")) continue;  // AdamW makes steps of full size of its rounding errors
      EXPECT_LE(gradient_distance(name, network->parameters.at(name), stored), 1e-5 * norm) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Heads, Parity, ::testing::ValuesIn(kHeads),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace penjing::train
