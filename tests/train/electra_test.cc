// A masked-LM step of ELECTRAs against transformers' in double precision: the loss, and every parameter's
// gradient (tests/data/electra_reference.json); hidden states and logits against the runtime.
#include "tests/train/family_step.h"

namespace penjing::train {
namespace {

TEST(Electra, LossAndGradientsAreThoseOfTransformers) {
  penjing::testing::expect_masked_lm_steps(penjing::testing::FamilyReference("electra"));
}

TEST(Electra, HiddenStatesAndLogitsAreThoseOfTheRuntime) {
  penjing::testing::expect_as_runtime(penjing::testing::FamilyReference("electra"));
}

}  // namespace
}  // namespace penjing::train
