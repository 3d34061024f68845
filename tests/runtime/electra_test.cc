// ELECTRA's hidden states and logits against transformers' in double precision
// (tests/data/electra_reference.json).
#include "tests/runtime/family_outputs.h"

namespace penjing {
namespace {

TEST(Electra, HiddenStatesAndLogitsAreThoseOfTransformers) {
  const testing::FamilyReference reference("electra");
  testing::expect_hidden_states(reference);
  testing::expect_logits(reference);
}

}  // namespace
}  // namespace penjing
