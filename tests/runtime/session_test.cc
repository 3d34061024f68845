#include "runtime/session.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <new>
#include <thread>

#include "base/error.h"
#include "base/mapped_file.h"
#include "kernels/cpu.h"
#include "runtime/engine.h"
#include "tests/runtime/tiny_models.h"

namespace {
std::atomic<int64_t> num_allocations{0};
}  // namespace

// Every allocation of the test program is counted: operator new, and aligned_alloc of base/aligned.cc. Not
// inlined, or GCC 12 takes the pair for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* data = std::malloc(size == 0 ? 1 : size)) return data;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* data) noexcept {
  std::free(data);
}
[[gnu::noinline]] void operator delete(void* data, std::size_t) noexcept {
  std::free(data);
}
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  void* data = nullptr;
  return posix_memalign(&data, alignment, size) == 0 ? data : nullptr;
}

namespace penjing {
namespace {

std::unique_ptr<Predictor> new_session(const Model& model, int threads = 1, int64_t max_tokens = 16384) {
  return Engine::build(model)->new_session(std::make_shared<ThreadPool>(threads), max_tokens);
}

void expect_equal_bits(std::span<const float> got, std::span<const float> want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  ASSERT_EQ(std::memcmp(got.data(), want.data(), got.size_bytes()), 0) << what;
}

// The promise of docs/decisions.md: a row is the same to the last bit alone on the plain-C++ kernels and in
// any batch, on any instruction set, at any thread count.
class RowsAreBitEqual : public ::testing::TestWithParam<int> {
 protected:
  // Its products may differ between instruction sets; in a batch and at a thread count they may not.
  static constexpr int kBf16 = 10, kBf16Mobile = 13;
  static bool is_bf16() { return GetParam() == kBf16 || GetParam() == kBf16Mobile; }

  static Model make(int index) {
    switch (index) {
      case 0:
        return testing::make_bert_like(11);
      case 1:
        return testing::make_mixed(12);
      case 2:
        return testing::quantize_tiny(testing::make_bert_like(13), false);
      case 3:
        return testing::quantize_tiny(testing::make_mixed(14), false);
      case 4:
        return testing::quantize_tiny(testing::make_bert_like(15), true);
      case 5: {
        Model model = testing::quantize_tiny(testing::make_mixed(16), false);
        testing::set_input_scheme(model, {ActivationScheme::Kind::kPerToken, false, 7}, true);
        return model;
      }
      case 7: {
        Model model = testing::quantize_tiny(testing::make_mixed(18), false);
        for (Block& block : model.description.blocks) {
          if (auto* attention = std::get_if<AttentionSpec>(&block.part)) attention->integer = true;
        }
        return model;
      }
      case 8: {
        Model model = testing::make_mixed(19);
        testing::zero_blocks(model, 0.7);
        return model;
      }
      case 9: {
        Model model = testing::quantize_tiny(testing::make_mixed(20), false);
        testing::zero_blocks(model, 0.7);
        return model;
      }
      case kBf16: {
        Model model = testing::make_mixed(21);
        testing::round_to_bf16(model);
        return model;
      }
      case 11:
        return testing::make_mobilebert(22);
      case 12:
        return testing::quantize_tiny(testing::make_mobilebert(23), false);
      case kBf16Mobile: {
        Model model = testing::make_mobilebert(24);
        testing::round_to_bf16(model);
        return model;
      }
      default: {
        Model model = testing::quantize_tiny(testing::make_bert_like(17), false);
        testing::set_input_scheme(model, {ActivationScheme::Kind::kStatic, false, 8}, true);
        return model;
      }
    }
  }
};

TEST_P(RowsAreBitEqual, InAnyBatchOnAnyInstructionSetAtAnyThreadCount) {
  const Model model = make(GetParam());
  const bool embeds = !model.sentence.modules.empty();
  Rng rng(100 + static_cast<uint64_t>(GetParam()));
  constexpr int kSequences = 24;
  const RaggedBatch all = testing::random_batch(rng, kSequences, 150, model.description.embedding.vocab_size);
  const auto sequence = [&](int i) {
    return std::span<const int32_t>(all.ids).subspan(static_cast<std::size_t>(all.offsets[i]),
                                                     static_cast<std::size_t>(all.length(i)));
  };
  const std::vector<OutputKind> kinds =
      embeds ? std::vector{OutputKind::kHidden, OutputKind::kEmbedding}
      : model.description.find_head(HeadKind::kMaskedLm) != nullptr
          ? std::vector{OutputKind::kHidden, OutputKind::kClassLogits, OutputKind::kMaskedLogits}
          : std::vector{OutputKind::kHidden};
  for (const OutputKind kind : kinds) {
    const Isa best = usable_isas().back();
    force_isa_limit(is_bf16() ? best : Isa::kRef);
    std::vector<Prediction> alone;
    {
      const auto session = new_session(model);
      for (int i = 0; i < kSequences; ++i) {
        RaggedBatch one;
        one.append(sequence(i));
        alone.push_back(session->predict(one, {.kind = kind}));
      }
    }
    int64_t batches = 0;
    std::string ran;
    for (const Isa isa : usable_isas()) {
      if (is_bf16() && isa != best) continue;
      force_isa_limit(isa);
      ran += std::string(" ") + name_of(isa);
      for (const int threads : {1, 2, 3, 4, 7}) {
        const auto session = new_session(model, threads);
        for (int repeat = 0; repeat < (isa == Isa::kRef ? 4 : 20); ++repeat, ++batches) {
          RaggedBatch batch;
          std::vector<int> members(1 + rng.below(7));
          for (int& member : members) {
            member = static_cast<int>(rng.below(kSequences));
            batch.append(sequence(member));
          }
          const Prediction got = session->predict(batch, {.kind = kind});
          for (std::size_t i = 0; i < members.size(); ++i) {
            const std::size_t begin = static_cast<std::size_t>(got.row_offsets[i] * got.dim);
            const std::size_t end = static_cast<std::size_t>(got.row_offsets[i + 1] * got.dim);
            expect_equal_bits(std::span(got.values).subspan(begin, end - begin),
                              alone[static_cast<std::size_t>(members[i])].values, name_of(isa));
          }
        }
      }
    }
    force_isa_limit(best);
    std::printf("[   RAN    ] %s: %ld batches on%s, threads 1 2 3 4 7\n", to_string(kind),
                static_cast<long>(batches), ran.c_str());
  }
}

std::string name_model(const ::testing::TestParamInfo<int>& info) {
  const char* const names[] = {
      "Fp32Bert",         "Fp32Mixed",        "Int8Bert",           "Int8Mixed",       "Int8SymmetricBert",
      "Uint7SmoothMixed", "StaticSmoothBert", "Int8AttentionMixed", "SparseFp32Mixed", "SparseInt8Mixed",
      "Bf16Mixed",        "Fp32MobileBert",   "Int8MobileBert",     "Bf16MobileBert"};
  return names[info.param];
}
INSTANTIATE_TEST_SUITE_P(Models, RowsAreBitEqual, ::testing::Range(0, 14), name_model);

TEST(Session, SplittingABatchIsInvisible) {
  const Model model = testing::make_bert_like(2);
  Rng rng(2);
  const RaggedBatch batch = testing::random_batch(rng, 17, 150, 97);
  const auto whole = new_session(model, 2), split = new_session(model, 2, 70);
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < batch.num_tokens(); i += 1 + static_cast<int64_t>(rng.below(9)))
    positions.push_back(i);
  for (const OutputKind kind :
       {OutputKind::kHidden, OutputKind::kEmbedding, OutputKind::kPooled, OutputKind::kClassLogits,
        OutputKind::kTokenLogits, OutputKind::kMaskedLogits, OutputKind::kSpanLogits}) {
    Request request{.kind = kind};
    if (kind == OutputKind::kMaskedLogits) request.positions = positions;
    const Prediction a = whole->predict(batch, request), b = split->predict(batch, request);
    EXPECT_EQ(a.row_offsets, b.row_offsets);
    expect_equal_bits(b.values, a.values, to_string(kind));
  }
}

TEST(Session, SecondForwardAllocatesOnlyTheResult) {
  for (const Model& model :
       {testing::make_bert_like(3), testing::quantize_tiny(testing::make_mixed(3), false)}) {
    const auto session = new_session(model, 2);
    Rng rng(3);
    const RaggedBatch batch = testing::random_batch(rng, 9, 150, 61);
    const Prediction first = session->predict(batch, {});
    EXPECT_GT(num_allocations.load(), 100);  // the counter counts
    const int64_t before = num_allocations.load();
    const Prediction second = session->predict(batch, {});
    EXPECT_LE(num_allocations.load() - before, 2);  // values and row_offsets
    expect_equal_bits(second.values, first.values, "second forward");
    if (!session->supports(OutputKind::kEmbedding)) continue;
    session->predict(batch, {.kind = OutputKind::kEmbedding});
    const int64_t between = num_allocations.load();
    session->predict(batch, {.kind = OutputKind::kEmbedding});
    EXPECT_LE(num_allocations.load() - between, 2);
  }
}

void expect_error(const Model& model, const RaggedBatch& batch, const Request& request, ErrorKind kind,
                  const std::string& part) {
  const auto session = new_session(model);
  try {
    session->predict(batch, request);
    FAIL() << "no error; wanted one that says: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

RaggedBatch batch_of(std::vector<std::vector<int32_t>> sequences) {
  RaggedBatch batch;
  for (const auto& ids : sequences) batch.append(ids);
  return batch;
}

TEST(Session, RefusesBadBatches) {
  const Model model = testing::make_bert_like(4);
  const Request hidden;
  expect_error(model, batch_of({{1, 2}, {3, 97}}), hidden, ErrorKind::kInput, "sequence 1: token id 97 at 1");
  expect_error(model, batch_of({{1, -1}}), hidden, ErrorKind::kInput, "token id -1");
  expect_error(model, batch_of({{1}, {}}), hidden, ErrorKind::kInput, "sequence 1: 0 tokens");
  expect_error(model, batch_of({std::vector<int32_t>(161, 5)}), hidden, ErrorKind::kInput, "161 tokens");
  RaggedBatch types = batch_of({{1, 2}});
  types.type_ids = {0, 2};
  expect_error(model, types, hidden, ErrorKind::kInput, "token type 2");
  types.type_ids = {0};
  expect_error(model, types, hidden, ErrorKind::kInput, "1 token types for 2 ids");
  RaggedBatch torn = batch_of({{1, 2}, {3}});
  torn.offsets = {0, 5, 3};
  expect_error(model, torn, hidden, ErrorKind::kInput, "sequence 0");
  torn.offsets = {0, 2};
  expect_error(model, torn, hidden, ErrorKind::kInput, "offsets");
  const std::vector<int64_t> positions{0, 0};
  expect_error(model, batch_of({{1, 2}}), {.kind = OutputKind::kMaskedLogits, .positions = positions},
               ErrorKind::kInput, "position 0 after 0");
  Model bare = model;
  bare.sentence.modules.clear();
  bare.description.heads.clear();
  expect_error(bare, batch_of({{1}}), {.kind = OutputKind::kEmbedding}, ErrorKind::kInput, "pooling");
  expect_error(bare, batch_of({{1}}), {.kind = OutputKind::kClassLogits}, ErrorKind::kInput, "no head");
}

TEST(Session, EmptyBatchGivesNoRows) {
  const auto session = new_session(testing::make_bert_like(4));
  const Prediction got = session->predict(RaggedBatch{}, {});
  EXPECT_EQ(got.num_rows, 0);
  EXPECT_TRUE(got.values.empty());
}

TEST(Session, LongestSequenceRuns) {
  const Model model = testing::make_mixed(4);
  const auto session = new_session(model);
  EXPECT_EQ(session->max_length(), 158);  // 160 rows, the first at 2
  EXPECT_EQ(session->predict(batch_of({std::vector<int32_t>(158, 5)}), {}).num_rows, 158);
}

TEST(Session, DamagedWeightsAreNoticed) {
  for (const bool integer : {false, true}) {
    for (const char* name : {"encoder.layer.1.attention.key.weight", "encoder.layer.0.ffn.LayerNorm.weight",
                             "encoder.layer.0.ffn.down.bias", "embeddings.word_embeddings.weight"}) {
      Model model = testing::make_bert_like(5);
      if (integer) model = testing::quantize_tiny(model, false);
      std::string damaged = name;
      if (integer && model.tensors.at(name).type == DType::kI8) damaged += "_scale";
      const Tensor tensor = model.tensors.at(damaged);
      std::vector<float> values = read_floats(tensor, damaged);
      values[0] = std::numeric_limits<float>::quiet_NaN();
      model.tensors.set(damaged, Tensor::from_floats(tensor.shape, values));
      expect_error(model, batch_of({{5, 6}, {0, 7, 8}}), {}, ErrorKind::kFormat, "row");
    }
  }
}

// Word embeddings are read from the mapped file during the forward: cut it short in between.
TEST(Session, AFileCutShortIsAnErrorNotAWrongAnswer) {
  Model model = testing::make_bert_like(7);
  const std::string name = "embeddings.word_embeddings.weight";
  const Tensor words = model.tensors.at(name);
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / fmt::format("penjing-words-{}", ::getpid());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(words.bytes.data()),
             static_cast<std::streamsize>(words.bytes.size()));
  auto file = MappedFile::open(path);
  Tensor mapped = words;
  mapped.bytes = file->bytes();
  mapped.owner = file;
  model.tensors.set(name, mapped);
  const auto session = new_session(model);
  const RaggedBatch batch = batch_of({{96, 5}});
  const Prediction whole = session->predict(batch, {});
  std::filesystem::resize_file(path, 4096);
  try {
    session->predict(batch, {});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo) << error.what();
  }
  std::filesystem::remove(path);
}

TEST(Session, SessionsOfOneEngineRunInTwoThreads) {
  const auto engine = Engine::build(testing::quantize_tiny(testing::make_bert_like(8), false));
  const auto pool = std::make_shared<ThreadPool>(3);
  Rng rng(8);
  const RaggedBatch batch = testing::random_batch(rng, 5, 90, 97);
  const Prediction want = engine->new_session(pool)->predict(batch, {});
  const auto repeat = [&] {
    const auto session = engine->new_session(pool);
    for (int i = 0; i < 20; ++i) expect_equal_bits(session->predict(batch, {}).values, want.values, "thread");
  };
  std::thread other(repeat);
  repeat();
  other.join();
}

// Row 0 of the word embeddings is damaged: sequences that do not hold token 0 are untouched to the bit.
TEST(Session, ADamagedRowLeavesItsBatchMatesAlone) {
  const Model good = testing::make_bert_like(6);
  Model bad = good;
  std::vector<float> values = read_floats(good.tensors.at("embeddings.word_embeddings.weight"), "words");
  values[3] = std::numeric_limits<float>::infinity();
  bad.tensors.set("embeddings.word_embeddings.weight",
                  Tensor::from_floats(good.tensors.at("embeddings.word_embeddings.weight").shape, values));
  struct LastBlock : Tap {
    std::vector<float> rows;
    bool wants(std::string_view site) override { return site == "encoder.layer.2.ffn.out"; }
    void on(std::string_view, int, const float* data, int64_t num_rows, int64_t dim) override {
      rows.assign(data, data + num_rows * dim);
    }
  };
  const RaggedBatch batch = batch_of({{5, 6, 9}, {0, 7, 8}, {3, 4}});
  LastBlock from_good, from_bad;
  new_session(good)->predict(batch, {.tap = &from_good});
  EXPECT_THROW(new_session(bad)->predict(batch, {.tap = &from_bad}), Error);
  const std::size_t dim = 32;
  expect_equal_bits(std::span(from_bad.rows).subspan(0, 3 * dim),
                    std::span(from_good.rows).subspan(0, 3 * dim), "before");
  expect_equal_bits(std::span(from_bad.rows).subspan(6 * dim), std::span(from_good.rows).subspan(6 * dim),
                    "after");
}

}  // namespace
}  // namespace penjing
