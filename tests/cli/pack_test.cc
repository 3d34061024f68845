// Packs: the same results from them, and no result at all from one that is stale or damaged.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "base/aligned.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/rng.h"
#include "cli/stored_pack.h"
#include "io/model_folder.h"
#include "io/pack_file.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_i8/gemm_i8.h"
#include "kernels/spmm_f32/spmm_f32.h"
#include "kernels/spmm_i8/spmm_i8.h"
#include "tests/cli/program_run.h"
#include "tests/cli/tiny_model_test.h"

namespace penjing {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;

class PackFile : public testing::TinyModelTest {
 protected:
  std::string make_integer_model() const {
    EXPECT_EQ(run_program({{"quantize", path("model"), "--scheme", "w8a8", "--out", path("int8")}}).status,
              0);
    return path("int8");
  }
  static std::string slurp(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void spill(const fs::path& file, const std::string& content) {
    std::ofstream(file, std::ios::binary) << content;
  }
  // The vectors of a few texts; `warned` is whether the pack was refused.
  std::string embed(const std::string& model, bool warned) const {
    const ProgramResult result = run_program(
        {{"embed", model, "The cat sat on the mat.", "A big red dog", "--output", path("rows.npy")}});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err.find(".pack: not used") != std::string::npos, warned) << result.err;
    return slurp(path("rows.npy"));
  }
};

TEST_F(PackFile, GivesTheSameResults) {
  for (const std::string& model : {path("model"), make_integer_model()}) {
    const std::string before = embed(model, false);
    const ProgramResult packed = run_program({{"pack", model, "--json"}});
    ASSERT_EQ(packed.status, 0) << packed.err;
    const Json said = Json::parse(packed.out, "pack");
    EXPECT_EQ(said.find("pack")->as_string(""), pack_path(model, cli::pack_isa()).string());
    EXPECT_EQ(embed(model, false), before);
    EXPECT_EQ(run_program({{"pack", model, "--check"}}).status, 0);

    // What is mapped is really used: the matrices lie in the file.
    const auto stored = cli::read_stored(model);
    ASSERT_NE(stored.tensors, nullptr);
    ASSERT_TRUE(stored.tokenizer.has_value());
    const auto engine = Engine::build(read_model(model), {{}, stored.tensors});
    int matrices = 0;
    for (const auto& [name, tensor] : engine->packed_tensors()) {
      if (!name.ends_with(".weight")) continue;
      const Tensor* in_file = stored.tensors->find(name);
      ASSERT_NE(in_file, nullptr) << name;
      EXPECT_EQ(tensor.bytes.data(), in_file->bytes.data()) << name;
      ++matrices;
    }
    EXPECT_EQ(matrices, 12);

    EXPECT_EQ(run_program({{"pack", model, "--remove"}}).status, 0);
    EXPECT_FALSE(fs::exists(pack_path(model, cli::pack_isa())));
    EXPECT_NE(run_program({{"pack", model, "--check"}}).status, 0);
  }
}

TEST_F(PackFile, FollowsTheFilesItWasMadeFrom) {
  const std::string model = make_integer_model(), weights = model + "/model.safetensors";
  ASSERT_EQ(run_program({{"pack", model}}).status, 0);
  const std::string before = embed(model, false);
  // Another time and the same bytes, as a copy has.
  fs::last_write_time(weights, fs::last_write_time(weights) + std::chrono::hours(1));
  EXPECT_EQ(embed(model, false), before);
  // Other bytes.
  std::string content = slurp(weights);
  for (std::size_t i = content.size() - 2000; i < content.size(); ++i)
    content[i] = static_cast<char>(content[i] ^ 1);
  spill(weights, content);
  const std::string with_stale = embed(model, true);
  EXPECT_NE(run_program({{"pack", model, "--check"}}).status, 0);
  ASSERT_EQ(run_program({{"pack", model}}).status, 0);
  EXPECT_EQ(embed(model, false), with_stale);
  // Another tokenizer configuration.
  spill(model + "/tokenizer_config.json", "{\"do_lower_case\": true} ");
  EXPECT_EQ(embed(model, true), with_stale);
}

TEST_F(PackFile, DamageIsNoticed) {
  const std::string model = make_integer_model();
  const std::string isa = cli::pack_isa();
  ASSERT_EQ(run_program({{"pack", model}}).status, 0);
  const fs::path file = pack_path(model, isa);
  const std::string whole = slurp(file);
  ASSERT_EQ(read_pack(model, isa).state, PackState::kUsable);
  Rng rng(5);
  for (int i = 0; i < 1500; ++i) {
    std::string broken = whole;
    if (i % 10 == 0) {
      broken.resize(rng.below(whole.size()));
    } else {
      // Half of the flips in the header, which is small.
      const std::size_t at = rng.below(i % 2 == 0 ? std::min<std::size_t>(whole.size(), 6000) : whole.size());
      broken[at] = static_cast<char>(broken[at] ^ 1 << rng.below(8));
    }
    spill(file, broken);
    ASSERT_NE(read_pack(model, isa).state, PackState::kUsable) << i;
  }
  const std::string before = embed(model, true);
  spill(file, whole);
  EXPECT_EQ(embed(model, false), before);
}

TEST_F(PackFile, TablesThatCannotBeReadSafelyAreRefused) {
  const auto tokenizer = Tokenizer::load(path("model"));
  const auto stored = tokenizer->stored();
  const auto& tables = stored.vocabulary;
  EXPECT_EQ(Tokenizer::load(path("model"), stored)->encode("the cat, the cats").ids,
            tokenizer->encode("the cat, the cats").ids);
  const auto refused = [&](Vocabulary::Tables changed) { EXPECT_THROW(Vocabulary(changed, nullptr), Error); };
  std::vector<uint32_t> begin(tables.begin.begin(), tables.begin.end());
  std::vector<Vocabulary::Slot> slots(tables.slots.begin(), tables.slots.end());
  refused({tables.bytes.first(tables.bytes.size() - 1), begin, slots});
  refused({tables.bytes, {}, slots});
  refused({tables.bytes, begin, {}});
  refused({tables.bytes, begin, std::span(slots).first(slots.size() - 1)});
  std::swap(begin[2], begin[3]);
  refused({tables.bytes, begin, slots});
  std::swap(begin[2], begin[3]);
  for (auto& slot : slots) {
    if (slot.id < 0) slot.id = 0;  // a search would not end
  }
  refused({tables.bytes, begin, slots});
  slots.assign(tables.slots.begin(), tables.slots.end());
  for (auto& slot : slots) {
    if (slot.id == 3) slot.id = 1 << 20;
  }
  refused({tables.bytes, begin, slots});
}

// The layouts that kPackVersion stands for, as SHA-256 of a packed matrix. When this fails, a layout has
// changed: raise kPackVersion in io/pack_file.h, then write the new hash here.
TEST(PackLayout, IsThatOfTheVersion) {
  ASSERT_EQ(kPackVersion, 3);
  constexpr int64_t kOut = 69, kIn = 1101;
  std::vector<int8_t> codes(kOut * kIn);
  std::vector<float> values(kOut * kIn);
  std::vector<uint16_t> halves(kOut * kIn);
  Rng rng(1);
  for (int64_t o = 0; o < kOut; ++o) {
    for (int64_t i = 0; i < kIn; ++i) {
      const auto at = static_cast<std::size_t>(o * kIn + i);
      const bool zero = (o / 4 + i) % 3 == 0;
      codes[at] = static_cast<int8_t>(zero ? 0 : static_cast<int>(rng.below(255)) - 127);
      values[at] = codes[at];
      halves[at] = static_cast<uint16_t>(rng.below(0x7f00));
    }
  }
  const auto check = [](const std::string& name, std::span<const std::byte> packed) {
    static const std::map<std::string, std::string> kKnown = {
        {"gemm_i8 amx", "092a29b60adc4129"},       {"gemm_i8 avx512_vnni", "33f33d149c1f8730"},
        {"gemm_i8 avx_vnni", "33f33d149c1f8730"},  {"gemm_i8 avx2_w7a7", "33f33d149c1f8730"},
        {"gemm_i8 avx2_w7a8", "33f33d149c1f8730"}, {"gemm_i8 avx2", "3de7ced1162787d7"},
        {"gemm_i8 ref", "dfb3ecf2803d8a50"},       {"spmm_i8 avx512_vnni", "33c724bca1db06e6"},
        {"spmm_i8 avx2_w7a7", "33c724bca1db06e6"}, {"spmm_i8 avx2_w7a8", "33c724bca1db06e6"},
        {"spmm_i8 avx2", "2427c4008c4eedb5"},      {"spmm_i8 ref", "33c724bca1db06e6"},
        {"gemm_f32 ref", "2cffbc55982f376d"},      {"gemm_bf16 ref", "87552832f676ea3f"},
        {"spmm_f32 ref", "b212b1b488fe6fc9"},      {"gemm_f32 avx2", "e9f6f678f7b14ea8"},
        {"spmm_f32 avx2", "b212b1b488fe6fc9"},     {"gemm_f32 avx512", "e9f6f678f7b14ea8"},
        {"spmm_f32 avx512", "b212b1b488fe6fc9"},   {"gemm_bf16 avx512_bf16", "813dda4d33725f43"},
        {"gemm_bf16 amx", "7670a13f17d99f0d"},
    };
    const auto known = kKnown.find(name);
    EXPECT_TRUE(known != kKnown.end() && known->second == sha256_hex(packed).substr(0, 16))
        << "{\"" << name << "\", \"" << sha256_hex(packed).substr(0, 16) << "\"},";
  };
  for (const auto* kernel : gemm_i8::list()) {
    // Packing runs on less than multiplying does: plain loops, compiled for the instruction set's parent.
    const Isa parent = kernel->isa == Isa::kAmx       ? Isa::kAvx512Bf16
                       : kernel->isa == Isa::kAvxVnni ? Isa::kAvx2
                                                      : kernel->isa;
    if (!cpu_has(parent)) continue;
    AlignedBuffer<std::byte> packed(kernel->packed_bytes(kOut, kIn));
    kernel->pack(codes.data(), kOut, kIn, packed.data());
    check(std::string("gemm_i8 ") + kernel->name, packed.span());
  }
  for (const auto* kernel : spmm_i8::list()) {
    if (!cpu_has(kernel->isa)) continue;
    AlignedBuffer<std::byte> packed(kernel->packed_bytes(codes.data(), kOut, kIn));
    kernel->pack(codes.data(), kOut, kIn, packed.data());
    check(std::string("spmm_i8 ") + kernel->name, packed.span());
  }
  for (const Isa isa : usable_isas()) {
    const auto pack = [&](const char* kind, const auto* kernel, const auto& w, std::size_t bytes) {
      if (kernel->isa != isa) return;
      AlignedBuffer<std::byte> packed(bytes);
      kernel->pack(w.data(), kOut, kIn, packed.data());
      check(std::string(kind) + " " + name_of(isa), packed.span());
    };
    if (const auto* k = gemm_f32::find(isa)) pack("gemm_f32", k, values, k->packed_bytes(kOut, kIn));
    if (const auto* k = gemm_bf16::find(isa)) pack("gemm_bf16", k, halves, k->packed_bytes(kOut, kIn));
    if (const auto* k = spmm_f32::find(isa))
      pack("spmm_f32", k, values, k->packed_bytes(values.data(), kOut, kIn));
  }
}

}  // namespace
}  // namespace penjing
