#include "runtime/program.h"

#include <gtest/gtest.h>

#include <set>

#include "runtime/engine.h"
#include "runtime/plan.h"
#include "tests/runtime/tiny_models.h"

namespace penjing {
namespace {

// Follows the program with the slot that each buffer holds: what a step reads must still be there.
void expect_slots_survive(const Program& program) {
  std::vector<int> holds(program.buffer_bytes.size(), -1);
  const auto buffer = [&](int slot) { return program.slots[slot].buffer; };
  const auto write = [&](int slot) {
    ASSERT_GE(buffer(slot), 0);
    ASSERT_GE(program.buffer_bytes[buffer(slot)], program.slots[slot].bytes_per_token());
    holds[buffer(slot)] = slot;
  };
  write(program.input);
  if (program.second_input >= 0) write(program.second_input);
  for (const Step& step : program.steps) {
    const SlotUse use = slots_of(step);
    for (const int slot : use.reads) ASSERT_EQ(holds[buffer(slot)], slot);
    for (const int slot : use.writes) {
      for (const int other : use.reads) {
        ASSERT_TRUE(slot == other || buffer(slot) != buffer(other));
      }
      write(slot);
    }
  }
  EXPECT_EQ(holds[buffer(program.output)], program.output);
}

TEST(Program, BuffersAreSharedWithoutOverwritingWhatIsRead) {
  for (const Model& model : {testing::make_bert_like(1), testing::make_mixed(1), testing::make_mobilebert(1),
                             testing::quantize_tiny(testing::make_bert_like(1), false),
                             testing::quantize_tiny(testing::make_mixed(1), true)}) {
    LinearPacker packer;
    const Program program = plan_encoder(model, packer);
    expect_slots_survive(program);
    int64_t sum = 0;
    for (const Slot& slot : program.slots) sum += slot.bytes_per_token();
    EXPECT_LT(program.bytes_per_token(), sum / 2);
  }
}

// Q, K and V read the same codes: one quantization for three products.
TEST(Program, AnInputIsQuantizedOnce) {
  const Model model = testing::quantize_tiny(testing::make_bert_like(1), false);
  LinearPacker packer;
  const Program program = plan_encoder(model, packer);
  std::set<int> quantized;
  int num_attention = 0, num_feed_forward = 0;
  for (const Block& block : model.description.blocks) {
    (block.kind() == BlockKind::kAttention ? num_attention : num_feed_forward) += 1;
  }
  for (const Step& step : program.steps) {
    if (const auto* convert = std::get_if<ConvertStep>(&step)) {
      EXPECT_TRUE(quantized.insert(convert->x).second);
    }
  }
  EXPECT_EQ(static_cast<int>(quantized.size()), 2 * (num_attention + num_feed_forward));
}

// relu.up has the weights of gated.gate: packed once.
TEST(Program, SharedWeightsArePackedOnce) {
  Model model = testing::make_mixed(1);
  LinearPacker shared_packer, own_packer;
  plan_encoder(model, shared_packer);
  model.tensors.set(
      "relu.up.weight",
      Tensor::from_floats({44, 32}, read_floats(model.tensors.at("gated.gate.weight"), "gate")));
  model.config.erase("compression_config");
  plan_encoder(model, own_packer);
  EXPECT_LT(shared_packer.packed_bytes(), own_packer.packed_bytes());
}

// Zeros and number formats are seen in the checkpoint, nothing need be told.
TEST(Program, ProductsFollowTheWeights) {
  const auto kinds = [](const Model& model) {
    std::set<std::pair<std::string, bool>> seen;
    for (const ProductKind& kind : Engine::build(model)->product_kinds()) {
      seen.insert({name_of(kind.arithmetic), kind.sparse});
      EXPECT_GT(kind.matrices, 0);
      if (kind.sparse) {
        EXPECT_NEAR(kind.zero_blocks, 0.95, 0.05);
      }
    }
    return seen;
  };
  using Kinds = std::set<std::pair<std::string, bool>>;
  Model model = testing::make_bert_like(1);
  EXPECT_EQ(kinds(model), (Kinds{{"fp32", false}}));
  Model integer = testing::quantize_tiny(model, false);
  EXPECT_EQ(kinds(integer), (Kinds{{"int8", false}}));
  testing::zero_blocks(integer, 0.95);
  EXPECT_EQ(kinds(integer), (Kinds{{"int8", true}}));
  Model sparse = model;
  testing::zero_blocks(sparse, 0.95);
  EXPECT_EQ(kinds(sparse), (Kinds{{"fp32", true}}));
  testing::round_to_bf16(model);
  EXPECT_EQ(kinds(model), (Kinds{{isa_limit() >= Isa::kAvx512Bf16 ? "bf16" : "fp32", false}}));
}

}  // namespace
}  // namespace penjing
