// The BiLSTM in the runtime: PyTorch's numbers, and the same bits whatever a sequence goes with.
#include <gtest/gtest.h>

#include <cmath>

#include "base/mapped_file.h"
#include "kernels/cpu.h"
#include "runtime/engine.h"
#include "runtime/recurrent_op.h"
#include "tests/model/tiny_bilstm.h"
#include "tests/runtime/tiny_models.h"

namespace penjing {
namespace {

std::unique_ptr<Predictor> new_session(const Model& model, int threads = 1, int64_t max_tokens = 16384) {
  return Engine::build(model)->new_session(std::make_shared<ThreadPool>(threads), max_tokens);
}

std::vector<float> run(Predictor& predictor, const RaggedBatch& batch, OutputKind kind) {
  Request request;
  request.kind = kind;
  return predictor.predict(batch, request).values;
}

TEST(Recurrent, GivesPyTorchsNumbers) {
  const Json file = testing::bilstm_reference();
  for (const Json& reference : file.find("cases")->as_array("cases")) {
    const Model model = testing::reference_bilstm(*file.find("sizes"), reference);
    const RaggedBatch batch = testing::reference_batch(reference);
    const auto predictor = new_session(model);
    for (const auto& [name, kind] :
         {std::pair{"states", OutputKind::kHidden}, {"logits", OutputKind::kClassLogits}}) {
      const auto got = run(*predictor, batch, kind);
      const auto& wanted = reference.find(name)->as_array(name);
      ASSERT_EQ(got.size(), wanted.size()) << name;
      for (std::size_t i = 0; i < got.size(); ++i)
        EXPECT_NEAR(got[i], wanted[i].as_double(name), 1e-6 * (1 + std::abs(got[i]))) << name << " " << i;
    }
  }
}

// Every row alone on the plain C++ kernels against batches of many, split batches, instruction sets and
// threads.
TEST(Recurrent, RowsAreBitEqual) {
  Rng rng(5);
  for (const auto& [siamese, attention] : {std::pair{false, 0}, {true, 0}, {false, 19}, {true, 19}}) {
    const Model model =
        testing::tiny_bilstm({.width = 37, .size = 21, .siamese = siamese, .attention = attention}, 3);
    RaggedBatch batch = testing::random_batch(rng, 150, 40, model.description.embedding.vocab_size);
    for (int64_t i = 0; siamese && i < batch.num_sequences(); ++i) {
      if (i == 0) batch.type_ids.assign(batch.ids.size(), 0);
      const auto half =
          static_cast<int64_t>(rng.below(static_cast<uint64_t>(batch.length(i))));  // 0: one text alone
      for (int64_t t = half; half > 0 && t < batch.length(i); ++t)
        batch.type_ids[static_cast<std::size_t>(batch.offsets[static_cast<std::size_t>(i)] + t)] = 1;
    }
    const Isa best = isa_limit();
    for (const OutputKind kind : {OutputKind::kHidden, OutputKind::kClassLogits}) {
      force_isa_limit(Isa::kRef);
      std::vector<float> alone;
      const auto reference = new_session(model);
      for (int64_t i = 0; i < batch.num_sequences(); ++i) {
        const auto at = static_cast<std::size_t>(batch.offsets[static_cast<std::size_t>(i)]);
        const auto length = static_cast<std::size_t>(batch.length(i));
        RaggedBatch one;
        one.append(std::span(batch.ids).subspan(at, length),
                   siamese ? std::span<const int32_t>(batch.type_ids).subspan(at, length)
                           : std::span<const int32_t>());
        const auto rows = run(*reference, one, kind);
        alone.insert(alone.end(), rows.begin(), rows.end());
      }
      for (const Isa isa : {Isa::kRef, Isa::kAvx2, Isa::kAvx512}) {
        if (!cpu_has(isa)) continue;
        force_isa_limit(isa);
        for (const int threads : {1, 2, 5}) {
          EXPECT_EQ(run(*new_session(model, threads), batch, kind), alone) << threads;
          EXPECT_EQ(run(*new_session(model, threads, 200), batch, kind), alone) << threads;
        }
      }
      force_isa_limit(best);
    }
  }
}

// The order of words counts, and each direction sees what it should.
TEST(Recurrent, SeesWhatComesBeforeAndAfter) {
  const Model model = testing::tiny_bilstm({.width = 4, .size = 2}, 9);
  const auto predictor = new_session(model);
  RaggedBatch batch;
  batch.append(std::vector<int32_t>{1, 2, 3, 4});
  batch.append(std::vector<int32_t>{1, 2, 3, 5});
  const auto rows = run(*predictor, batch, OutputKind::kHidden);
  for (std::size_t token = 0; token < 4; ++token) {
    for (std::size_t f = 0; f < 4; ++f) {
      const bool forward = f < 2, same = rows[token * 4 + f] == rows[16 + token * 4 + f];
      EXPECT_EQ(same, forward && token < 3) << token << " " << f;
    }
  }
}

}  // namespace
}  // namespace penjing
