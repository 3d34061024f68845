// What an observer is told: every step of a forward, in order, with the work that the cost model counts.
#include "runtime/step_description.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "model/cost.h"
#include "runtime/engine.h"
#include "tests/runtime/tiny_models.h"

namespace penjing {
namespace {

class Recorder : public StepObserver {
 public:
  struct Seen {
    StepEvent event;
    StepDescription what;
    StepEvent::Clock::time_point begin, end;
    int64_t num_pieces;
    std::set<int> threads;
  };
  void on_step(const StepEvent& event) override {
    seen.push_back({event,
                    describe_step(event),
                    event.pieces.front().begin,
                    event.pieces.front().end,
                    static_cast<int64_t>(event.pieces.size()),
                    {}});
    for (const StepPiece& piece : event.pieces) {
      seen.back().begin = std::min(seen.back().begin, piece.begin);
      seen.back().end = std::max(seen.back().end, piece.end);
      seen.back().threads.insert(piece.thread);
      EXPECT_LE(piece.begin, piece.end);
    }
  }
  std::vector<Seen> seen;
};

RaggedBatch batch_for(const Model& model) {
  Rng rng(7);
  return testing::random_batch(rng, 5, 20, model.description.embedding.vocab_size);
}

Prediction observe(const Model& model, const RaggedBatch& batch, OutputKind kind, Recorder* recorder,
                   int64_t max_tokens = 16384) {
  Request request;
  request.kind = kind;
  return Engine::build(model)
      ->new_session(std::make_shared<ThreadPool>(2), max_tokens, recorder)
      ->predict(batch, request);
}

int64_t sum_operations(const Recorder& recorder) {
  int64_t sum = 0;
  for (const auto& seen : recorder.seen) sum += seen.what.operations;
  return sum;
}

// Operations of the encoder by the cost model, which walks the description and not the program.
int64_t cost_of(const Description& description, const RaggedBatch& batch) {
  int64_t sum = 0;
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    for (const PartCost& part : measure_cost(description, batch.offsets[at + 1] - batch.offsets[at])) {
      if (part.part != "pooler" && part.part != "heads") sum += part.flops;
    }
  }
  return sum;
}

TEST(StepDescription, CountsTheOperationsOfTheCostModel) {
  Model model = testing::make_bert_like(3);
  const RaggedBatch batch = batch_for(model);
  for (const int64_t window : {0, 2}) {
    for (Block& block : model.description.blocks) {
      if (auto* attention = std::get_if<AttentionSpec>(&block.part)) attention->window = window;
    }
    for (const int64_t max_tokens : {16384, 25}) {  // whole, and split into several forwards
      Recorder recorder;
      observe(model, batch, OutputKind::kHidden, &recorder, max_tokens);
      EXPECT_EQ(sum_operations(recorder), cost_of(model.description, batch)) << window << " " << max_tokens;
    }
  }
}

TEST(StepDescription, TellsEveryStepInOrder) {
  const Model model = testing::make_bert_like(4);
  Rng rng(7);
  const RaggedBatch batch = testing::random_batch(rng, 2, 20, model.description.embedding.vocab_size);
  Recorder recorder;
  const auto before = StepEvent::Clock::now();
  observe(model, batch, OutputKind::kEmbedding, &recorder);
  auto last = before;
  for (const auto& seen : recorder.seen) {
    EXPECT_LE(last, seen.begin);  // on one panel nothing overlaps
    EXPECT_LE(seen.begin, seen.end);
    EXPECT_EQ(seen.event.duration, seen.end - seen.begin);
    last = seen.end;
    EXPECT_FALSE(seen.what.kind.empty());
    EXPECT_FALSE(seen.what.operation.empty()) << seen.what.kind;
    EXPECT_GT(seen.what.activation_bytes, 0) << seen.what.operation;
  }
  ASSERT_GT(recorder.seen.size(), 5u);
  EXPECT_EQ(recorder.seen.front().event.phase, StepEvent::Phase::kEmbedding);
  EXPECT_EQ(recorder.seen.back().event.phase, StepEvent::Phase::kOutputRows);
  // Layers as the description has them: 2 without attention, 3 without feed-forward.
  std::set<int> attending, feeding;
  for (const auto& seen : recorder.seen) {
    if (seen.what.kind == "attention") attending.insert(seen.what.layer);
    if (seen.what.operation.find("ffn.up") != std::string::npos) feeding.insert(seen.what.layer);
  }
  EXPECT_EQ(attending, (std::set<int>{0, 1, 3}));
  EXPECT_EQ(feeding, (std::set<int>{0, 1, 2}));
}

// Five panels on two threads: four run whole on one of them, on the fifth both work together.
TEST(StepDescription, TellsThePiecesOfAStep) {
  const Model model = testing::make_bert_like(4);
  RaggedBatch batch;
  batch.offsets = {0};
  while (batch.ids.size() < 4 * 64 + 20) {
    batch.ids.insert(batch.ids.end(), 12, 3);
    batch.offsets.push_back(static_cast<int64_t>(batch.ids.size()));
  }
  Recorder recorder;
  observe(model, batch, OutputKind::kHidden, &recorder);
  int64_t whole = 0;
  for (const auto& seen : recorder.seen) {
    EXPECT_GE(seen.event.duration.count(), 0);
    EXPECT_LE(seen.event.duration, seen.end - seen.begin);
    for (const int thread : seen.threads) EXPECT_TRUE(thread == 0 || thread == 1);
    if (seen.event.step < 0) continue;
    EXPECT_EQ(seen.num_pieces, seen.what.kind == "attention" ? 1 : 5) << seen.what.operation;
    ++whole;
  }
  EXPECT_GT(whole, 5);
}

TEST(StepDescription, NamesModulesWithoutTheirLayer) {
  const Model model = testing::quantize_tiny(testing::make_bert_like(5), false);
  Recorder recorder;
  observe(model, batch_for(model), OutputKind::kHidden, &recorder);
  std::set<std::string> names;
  for (const auto& seen : recorder.seen) {
    names.insert(seen.what.kind + " " + seen.what.operation);
    if (seen.what.kind == "product") {
      EXPECT_EQ(seen.what.arithmetic, Arithmetic::kI8);
      EXPECT_GT(seen.what.weight_bytes, 0);
    }
    EXPECT_EQ(seen.what.operation.find(".layer."), std::string::npos) << seen.what.operation;
  }
  for (const char* name :
       {"product attention.query + key + value", "quantize attention.query + key + value",
        "product attention.output", "quantize ffn.down", "product ffn.down", "norm ffn.LayerNorm"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

// A model with every other kind of block; what is seen changes no bit.
TEST(StepDescription, LookingChangesNothing) {
  const Model model = testing::make_mixed(6);
  const RaggedBatch batch = batch_for(model);
  Recorder recorder;
  const Prediction seen = observe(model, batch, OutputKind::kHidden, &recorder);
  const Prediction plain = observe(model, batch, OutputKind::kHidden, nullptr);
  ASSERT_EQ(seen.values.size(), plain.values.size());
  EXPECT_EQ(std::memcmp(seen.values.data(), plain.values.data(), seen.values.size() * sizeof(float)), 0);
  EXPECT_FALSE(recorder.seen.empty());
  for (const auto& one : recorder.seen) EXPECT_FALSE(one.what.operation.empty()) << one.what.kind;
}

}  // namespace
}  // namespace penjing
