// The trainer's forward against the runtime's, which has oracles of its own, on random models and on MiniLM.
#include "train/encoder.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "io/model_folder.h"
#include "runtime/engine.h"
#include "tests/runtime/tiny_models.h"
#include "tests/train/tiny_network.h"
#include "text/tokenizer.h"

namespace penjing::train {
namespace {

using penjing::testing::Forwarding;
using penjing::testing::make_network;
using penjing::testing::pack_numbered;
using penjing::testing::relative_error;
using penjing::testing::to_vector;

Prediction run(const Model& model, const RaggedBatch& batch, OutputKind kind, Tap* tap = nullptr) {
  return Engine::build(model)
      ->new_session(std::make_shared<ThreadPool>(1))
      ->predict(batch, {.kind = kind, .tap = tap});
}

RaggedBatch some_batch() {
  Rng rng(9);
  return penjing::testing::random_batch(rng, 6, 40, 61);
}

std::vector<float> forward(const Model& model, const RaggedBatch& batch) {
  const auto network = make_network(model);
  const Forwarding forwarding;
  return to_vector(network->encoder->forward(pack_numbered(batch), forwarding.context));
}

// Layers of unequal widths, without attention or without feed-forward; bottlenecks, low rank, shared weights,
// a window, pre-norm, RMS norms, projected embeddings; trigrams.
TEST(Encoder, HiddenStatesAreThoseOfTheRuntime) {
  for (const Model& model : {penjing::testing::make_bert_like(1), penjing::testing::make_mixed(2),
                             penjing::testing::make_mobilebert(3)}) {
    const RaggedBatch batch = some_batch();
    const Prediction wanted = run(model, batch, OutputKind::kHidden);
    EXPECT_LT(relative_error(forward(model, batch), wanted.values), 1e-5) << model.description.family;
  }
}

TEST(Encoder, DistilBertHasNoTokenTypesAndItsOwnNames) {
  Model model;
  model.config = Json::object({{"model_type", "distilbert"},
                               {"dim", 16},
                               {"n_layers", 2},
                               {"n_heads", 4},
                               {"hidden_dim", 24},
                               {"vocab_size", 61},
                               {"max_position_embeddings", 64},
                               {"activation", "gelu"}});
  model.description = describe(model.config, model.tensors);
  penjing::testing::fill_tensors(model, 5);
  complete_model(model);
  const RaggedBatch batch = some_batch();
  EXPECT_LT(relative_error(forward(model, batch), run(model, batch, OutputKind::kHidden).values), 1e-5);
}

TEST(Encoder, MiniLmsHiddenStatesAndEmbeddingsAreThoseOfTheRuntime) {
  const char* cache = std::getenv("PENJING_CACHE");
  const char* home = std::getenv("HOME");
  const std::filesystem::path folder =
      (cache != nullptr ? std::filesystem::path(cache)
                        : std::filesystem::path(home != nullptr ? home : "/") / ".cache/penjing") /
      "models/minilm";
  if (!std::filesystem::exists(folder / "config.json")) GTEST_SKIP() << folder << " is not there";
  const Model model = read_model(folder);
  const auto tokenizer = Tokenizer::load(folder);
  RaggedBatch batch;
  for (const char* text : {"A man is playing a guitar.", "unflinchingly bleak and desperate",
                           "it 's a charming and often affecting journey ."}) {
    batch.append(tokenizer->encode(text, {}).ids);
  }
  const auto network = make_network(model);
  const Forwarding forwarding;
  const PackedBatch packed = pack_numbered(batch);
  const at::Tensor hidden = network->encoder->forward(packed, forwarding.context);
  EXPECT_LT(relative_error(to_vector(hidden), run(model, batch, OutputKind::kHidden).values), 1e-5);
  const at::Tensor embeddings =
      embed_sentences(model, network->parameters, hidden, packed, forwarding.context);
  EXPECT_LT(relative_error(to_vector(embeddings), run(model, batch, OutputKind::kEmbedding).values), 1e-5);
}

struct RuntimeSites : Tap {
  std::map<std::string, std::pair<int, std::vector<float>>> sites;
  bool wants(std::string_view) override { return true; }
  void on(std::string_view site, int layer, const float* rows, int64_t num_rows, int64_t dim) override {
    // In the mixed model a block and its linear layer have one name: the layer comes first.
    sites.emplace(std::string(site), std::pair(layer, std::vector<float>(rows, rows + num_rows * dim)));
  }
};

struct TrainerSites : TensorTap {
  std::map<std::string, std::pair<int, at::Tensor>> sites;
  std::map<int, AttentionScores> scores;
  bool wants(std::string_view) override { return true; }
  void on(std::string_view site, int layer, const at::Tensor& rows) override {
    sites.emplace(std::string(site), std::pair(layer, rows));
  }
  bool wants_scores(int) override { return true; }
  void on_scores(int layer, const AttentionScores& of) override { scores[layer] = of; }
};

TEST(TensorTap, SitesOfTheEncoderAreThoseOfTheRuntime) {
  for (const Model& model : {penjing::testing::make_bert_like(1), penjing::testing::make_mixed(2),
                             penjing::testing::make_mobilebert(3)}) {
    const RaggedBatch batch = some_batch();
    RuntimeSites runtime;
    run(model, batch, OutputKind::kHidden, &runtime);
    TrainerSites trainer;
    Forwarding forwarding;
    forwarding.context.tap = &trainer;
    const auto network = make_network(model);
    network->encoder->forward(pack_numbered(batch), forwarding.context);
    ASSERT_GT(runtime.sites.size(), 20u);
    for (const auto& [site, wanted] : runtime.sites) {
      const auto found = trainer.sites.find(site);
      if (found == trainer.sites.end()) {
        ADD_FAILURE() << site << " is not there";
        continue;
      }
      EXPECT_EQ(found->second.first, wanted.first) << site;
      EXPECT_LT(relative_error(to_vector(found->second.second), wanted.second), 2e-5) << site;
    }
    for (const auto& [site, rows] : trainer.sites) {
      EXPECT_TRUE(runtime.sites.contains(site)) << "the runtime has no " << site;
    }
  }
}

TEST(TensorTap, AttentionScoresAreSoftmaxOfScaledProductsAndDifferentiable) {
  const Model model = penjing::testing::make_bert_like(1);
  const auto network = make_network(model);
  TrainerSites tap;
  Forwarding forwarding;
  forwarding.context.tap = &tap;
  const PackedBatch batch = pack_numbered(some_batch());
  network->encoder->forward(batch, forwarding.context);
  ASSERT_EQ(tap.scores.size(), 3u);  // layer 2 has no attention
  for (const Block& block : model.description.blocks) {
    const auto* attention = std::get_if<AttentionSpec>(&block.part);
    if (attention == nullptr) continue;
    const AttentionScores& scores = tap.scores.at(block.layer);
    ASSERT_EQ(scores.before.size(), static_cast<std::size_t>(batch.num_sequences()));
    const at::Tensor query = tap.sites.at(attention->query.name + ".out").second;
    const at::Tensor key = tap.sites.at(attention->key.name + ".out").second;
    for (int64_t s = 0; s < batch.num_sequences(); ++s) {
      const int64_t length = batch.length(s), heads = attention->num_heads, dim = attention->head_dim;
      ASSERT_EQ(scores.before[s].sizes(), (at::IntArrayRef{heads, length, length}));
      ASSERT_EQ(scores.after[s].sizes(), (at::IntArrayRef{heads, length, length}));
      for (int64_t h = 0; h < heads; ++h) {
        const auto part = [&](const at::Tensor& rows) {
          return rows.narrow(0, batch.offsets[s], length).narrow(1, h * dim, dim).to(at::kDouble);
        };
        const at::Tensor before = part(query).mm(part(key).t()) * static_cast<double>(attention->scale);
        EXPECT_TRUE(at::allclose(scores.before[s][h].to(at::kDouble), before, 1e-4, 1e-5));
        EXPECT_TRUE(at::allclose(scores.after[s][h].to(at::kDouble), at::softmax(before, 1), 1e-4, 1e-6));
      }
    }
  }
  at::Tensor sum = at::zeros({});
  for (const at::Tensor& after : tap.scores.at(1).after) sum = sum + after.square().sum();
  sum.backward();
  const std::string query = std::get<AttentionSpec>(model.description.blocks[0].part).query.name + ".weight";
  ASSERT_TRUE(network->parameters.at(query).grad().defined());
  EXPECT_GT(network->parameters.at(query).grad().abs().max().item<double>(), 0);
}

TEST(Dropout, HappensInTrainingOnlyAndIsAFunctionOfItsKey) {
  const Model model = penjing::testing::make_bert_like(1);
  const auto network = make_network(model);
  const PackedBatch batch = pack_numbered(some_batch());
  Forwarding forwarding(0.3);
  const auto rows = [&] { return to_vector(network->encoder->forward(batch, forwarding.context)); };
  const std::vector<float> dropped = rows();
  EXPECT_EQ(rows(), dropped);
  forwarding.context.random.step += 1;
  EXPECT_NE(rows(), dropped);
  forwarding.context.training = false;
  const Forwarding none(0);
  EXPECT_EQ(rows(), to_vector(network->encoder->forward(batch, none.context)));
}

TEST(Dropout, RatesAreThoseOfTheConfig) {
  const DropoutRates bert = dropout_rates(Json::object(
      {{"hidden_dropout_prob", 0.2}, {"attention_probs_dropout_prob", 0.3}, {"classifier_dropout", Json()}}));
  EXPECT_EQ(bert.hidden, 0.2);
  EXPECT_EQ(bert.attention, 0.3);
  EXPECT_EQ(bert.classifier, 0.2);  // null: that of the hidden states, as in transformers
  const DropoutRates distilbert = dropout_rates(
      Json::object({{"dropout", 0.4}, {"attention_dropout", 0.05}, {"seq_classif_dropout", 0.25}}));
  EXPECT_EQ(distilbert.hidden, 0.4);
  EXPECT_EQ(distilbert.attention, 0.05);
  EXPECT_EQ(distilbert.classifier, 0.25);
  EXPECT_THROW(dropout_rates(Json::object({{"dropout", 1.0}})), Error);
}

// A row's value and its dropout do not depend on the other sequences of the forward.
TEST(Dropout, ASequenceAloneIsThatOfTheBatch) {
  const Model model = penjing::testing::make_bert_like(1);
  const auto network = make_network(model);
  const Forwarding forwarding(0.2);
  const RaggedBatch batch = some_batch();
  const at::Tensor together = network->encoder->forward(pack_numbered(batch), forwarding.context);
  for (int64_t s = 0; s < batch.num_sequences(); ++s) {
    RaggedBatch one;
    one.append(std::span(batch.ids).subspan(batch.offsets[s], batch.length(s)));
    const at::Tensor alone = network->encoder->forward(pack(one, {100 + s}), forwarding.context);
    EXPECT_LT(
        relative_error(to_vector(alone), to_vector(together.narrow(0, batch.offsets[s], batch.length(s)))),
        1e-5);
  }
}

// What is loaded and stored again computes the same, whatever form the weights had.
TEST(Parameters, StoredWeightsReplaceEveryOtherFormOfThem) {
  const Model dense = penjing::testing::make_bert_like(1);
  for (const Model& model :
       {dense, penjing::testing::make_mixed(2), penjing::testing::quantize_tiny(dense, true)}) {
    Model stored = model;
    store_parameters(load_parameters(model), stored);
    for (const TensorMap::Entry& entry : stored.tensors)
      EXPECT_EQ(entry.tensor.type, DType::kF32) << entry.name;
    EXPECT_FALSE(stored.config.contains("quantization_config"));
    const RaggedBatch batch = some_batch();
    EXPECT_LT(relative_error(run(stored, batch, OutputKind::kHidden).values, forward(model, batch)), 1e-5);
    Parameters changed = load_parameters(model);
    const at::NoGradGuard no_gradient;
    for (const Parameters::Entry& entry : changed) at::Tensor(entry.tensor).mul_(0.5);
    store_parameters(changed, stored);
    EXPECT_GT(relative_error(run(stored, batch, OutputKind::kHidden).values, forward(model, batch)), 1e-2);
  }
}

TEST(Parameters, LayersThatShareAWeightTrainItTogether) {
  const Model model = penjing::testing::make_mixed(2);  // relu.up is gated.gate
  Parameters parameters = load_parameters(model);
  ASSERT_NE(parameters.find("relu.up.weight"), nullptr);
  EXPECT_TRUE(parameters.at("relu.up.weight").is_same(parameters.at("gated.gate.weight")));
  int entries = 0;
  for (const Parameters::Entry& entry : parameters) entries += entry.name == "relu.up.weight" ? 1 : 0;
  EXPECT_EQ(entries, 0);
  Model stored = model;
  store_parameters(parameters, stored);
  EXPECT_EQ(stored.tensors.find("relu.up.weight"), nullptr);
}

}  // namespace
}  // namespace penjing::train
