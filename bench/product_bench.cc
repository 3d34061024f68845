// Every product kernel alone, on one thread: operations a second and their share of the peak of the
// multipliers in the same run, on weights that are read anew from beyond the second cache, as in a forward;
// and, for the sparse kernels, from which share of zero blocks on they beat the dense one.
//
// usage: product_bench [SECONDS]     seconds for each figure, default 0.05. PENJING_ISA chooses the
// instruction set.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "base/rng.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_i8/gemm_i8.h"
#include "kernels/gemm_nbits/gemm_nbits.h"
#include "kernels/peak/peak.h"
#include "kernels/spmm_f32/spmm_f32.h"
#include "kernels/spmm_i8/spmm_i8.h"

namespace penjing {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(const std::function<void()>& body) {
  const auto begin = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Shape {
  int64_t k, n;
};
constexpr Shape kShapes[] = {{384, 1152}, {384, 1536}, {1536, 384}, {768, 768}, {768, 3072}, {3072, 768}};
constexpr CodeBounds k7BitWeights = {.weight = 64, .code = 255}, k7BitCodes = {.weight = 64, .code = 127};
constexpr int64_t kCopiesBytes = 24 << 20;  // of packed weights, used in turn

// One kernel on one shape: run(copy) computes the product with that copy of the weights.
struct Candidate {
  std::string name;
  double best = 0;  // operations a second
  int64_t copies = 1, next = 0;
  std::function<void(int64_t)> run;
};

class Operands {
 public:
  Operands(Shape shape, int width, double zero_blocks, Rng& rng)
      : shape_(shape),
        width_(width),
        w_(static_cast<std::size_t>(shape.n * shape.k)),
        w8_(w_.size()),
        w16_(w_.size()),
        x_(static_cast<std::size_t>(shape.k * width)),
        codes_(x_.size()),
        pairs_(x_.size()),
        y_(static_cast<std::size_t>(shape.n * width)),
        scale_(static_cast<std::size_t>(shape.n + width)),
        integers_(static_cast<std::size_t>(shape.n + width)) {
    for (int64_t group = 0; group < shape.n; group += 4) {
      for (int64_t i = 0; i < shape.k; ++i) {
        const bool zero = rng.uniform() < zero_blocks;
        for (int64_t o = group; o < group + 4; ++o) {
          const auto at = static_cast<std::size_t>(o * shape.k + i);
          w_[at] = zero ? 0 : rng.normal();
          w8_[at] = zero ? int8_t{0} : static_cast<int8_t>(1 + rng.below(127));
          w16_[at] = static_cast<uint16_t>(0x3f00 + rng.below(256));
        }
      }
    }
    for (float& value : x_) value = rng.normal();
    for (uint8_t& code : codes_) code = static_cast<uint8_t>(rng.below(256));
    for (uint16_t& value : pairs_) value = static_cast<uint16_t>(0x3f00 + rng.below(256));
    for (float& value : scale_) value = static_cast<float>(rng.uniform());
    for (int32_t& value : integers_) value = static_cast<int32_t>(rng.below(256));
  }

  double operations() const { return 2.0 * static_cast<double>(shape_.k * shape_.n * width_); }

  Candidate dense_f32() {
    const auto& kernel = gemm_f32::select();
    return candidate(
        "gemm_f32", kernel.packed_bytes(shape_.n, shape_.k),
        [&](void* packed) { kernel.pack(w_.data(), shape_.n, shape_.k, packed); },
        [this, &kernel](const void* w) {
          kernel.run({x_.data(), w, scale_.data(), nullptr, y_.data(), shape_.k, 0, shape_.n, width_});
        });
  }
  Candidate sparse_f32() {
    const auto& kernel = spmm_f32::select();
    return candidate(
        "spmm_f32", kernel.packed_bytes(w_.data(), shape_.n, shape_.k),
        [&](void* packed) { kernel.pack(w_.data(), shape_.n, shape_.k, packed); },
        [this, &kernel](const void* w) {
          kernel.run(
              {x_.data(), w, scale_.data(), nullptr, y_.data(), shape_.k, shape_.n, 0, shape_.n, width_});
        });
  }
  // Weights and codes of more bits than `kernel` takes give wrong integers, at the same speed.
  Candidate dense_i8(const char* name = "gemm_i8", const CodeBounds& codes = kAnyCodes) {
    const auto& kernel = gemm_i8::select(codes);
    return candidate(
        name, kernel.packed_bytes(shape_.n, shape_.k),
        [&](void* packed) { kernel.pack(w8_.data(), shape_.n, shape_.k, packed); },
        [this, &kernel](const void* w) {
          kernel.run({codes_.data(), scale_.data(), integers_.data(), w, scale_.data(), integers_.data(),
                      scale_.data(), nullptr, y_.data(), shape_.k, shape_.n, 0, shape_.n, width_});
        });
  }
  Candidate weight_only(const char* name, int bits) {
    const auto& kernel = gemm_nbits::select();
    const gemm_nbits::Layout layout = {.bits = bits, .group = 32};
    return candidate(
        name, kernel.packed_bytes(shape_.n, shape_.k, layout),
        [&](void* packed) {
          std::vector<int8_t> codes = w8_;
          if (bits == 4) {
            for (int8_t& code : codes) code = static_cast<int8_t>(code & 7);
          }
          kernel.pack(codes.data(), w_.data(), shape_.n, shape_.k, layout, packed);
        },
        [this, &kernel, layout](const void* w) {
          kernel.run(
              {x_.data(), w, layout, scale_.data(), nullptr, y_.data(), shape_.k, 0, shape_.n, width_});
        });
  }
  Candidate sparse_i8(const CodeBounds& codes = kAnyCodes) {
    const auto& kernel = spmm_i8::select(codes);
    return candidate(
        "spmm_i8", kernel.packed_bytes(w8_.data(), shape_.n, shape_.k),
        [&](void* packed) { kernel.pack(w8_.data(), shape_.n, shape_.k, packed); },
        [this, &kernel](const void* w) {
          kernel.run({codes_.data(), scale_.data(), integers_.data(), w, scale_.data(), integers_.data(),
                      scale_.data(), nullptr, y_.data(), shape_.k, shape_.n, 0, shape_.n, width_});
        });
  }
  Candidate dense_bf16() {
    const auto& kernel = gemm_bf16::select();
    return candidate(
        "gemm_bf16", kernel.packed_bytes(shape_.n, shape_.k),
        [&](void* packed) { kernel.pack(w16_.data(), shape_.n, shape_.k, packed); },
        [this, &kernel](const void* w) {
          kernel.run(
              {pairs_.data(), w, scale_.data(), nullptr, y_.data(), shape_.k, shape_.n, 0, shape_.n, width_});
        });
  }

 private:
  Candidate candidate(const char* name, std::size_t bytes, const std::function<void(void*)>& pack,
                      std::function<void(const void*)> run) {
    const std::size_t step = (bytes + 63) / 64 * 64;
    Candidate c;
    c.name = name;
    c.copies = std::max<int64_t>(1, kCopiesBytes / static_cast<int64_t>(step));
    auto copies = std::make_shared<AlignedBuffer<std::byte>>(step * static_cast<std::size_t>(c.copies));
    for (int64_t i = 0; i < c.copies; ++i) pack(copies->data() + static_cast<std::size_t>(i) * step);
    c.run = [copies, step, run = std::move(run)](int64_t copy) {
      run(copies->data() + static_cast<std::size_t>(copy) * step);
    };
    return c;
  }

  Shape shape_;
  int width_;
  std::vector<float> w_;
  std::vector<int8_t> w8_;
  std::vector<uint16_t> w16_;
  std::vector<float> x_;
  std::vector<uint8_t> codes_;
  std::vector<uint16_t> pairs_;
  std::vector<float> y_, scale_;
  std::vector<int32_t> integers_;
};

// Rounds in turn for all, so that a slow moment meets each; the best of them.
void time_all(std::vector<Candidate>& candidates, double operations, double seconds) {
  for (int round = 0; round < 5; ++round) {
    for (Candidate& c : candidates) {
      double spent = 0;
      while (spent < seconds / 5) {
        const double one = seconds_of([&] { c.run(c.next); });
        c.next = (c.next + 1) % c.copies;
        c.best = std::max(c.best, operations / one);
        spent += one;
      }
    }
  }
}

double peak_of(const std::string& name) {
  const peak::Kernel& kernel = peak::select();
  auto* const run = name.ends_with("i8") ? kernel.i8 : name.ends_with("bf16") ? kernel.bf16 : kernel.f32;
  if (run == nullptr) return 0;
  double best = 0;
  for (int i = 0; i < 20; ++i) {
    int64_t operations = 0;
    const double seconds = seconds_of([&] { operations = run(20000); });
    best = std::max(best, static_cast<double>(operations) / seconds);
  }
  return best;
}

int run(double seconds) {
  Rng rng(1);
  std::printf("%s, %s, 1 thread; peak %.0f GFLOP/s fp32, %.0f bf16, %.0f GOP/s int8\n",
              read_cpu_info().model.c_str(), name_of(isa_limit()), peak_of("f32") * 1e-9,
              peak_of("bf16") * 1e-9, peak_of("i8") * 1e-9);
  std::printf("\n%-12s %6s  %-9s %8s %8s\n", "K x N", "tokens", "kernel", "Gop/s", "of peak");
  for (const Shape shape : kShapes) {
    for (const int width : {16, 32, 48, 64}) {
      Operands operands(shape, width, 0, rng);
      std::vector<Candidate> candidates = {operands.dense_f32(), operands.dense_i8()};
      candidates.push_back(operands.weight_only("w8_f32", 8));
      candidates.push_back(operands.weight_only("w4_f32", 4));
      if (&gemm_i8::select(k7BitWeights) != &gemm_i8::select()) {
        candidates.push_back(operands.dense_i8("w7a8_i8", k7BitWeights));
        candidates.push_back(operands.dense_i8("w7a7_i8", k7BitCodes));
      }
      if (gemm_bf16::select().isa != Isa::kRef) candidates.push_back(operands.dense_bf16());
      time_all(candidates, operands.operations(), seconds);
      for (const Candidate& c : candidates) {
        std::printf("%5ld x %-5ld %6d  %-9s %8.0f %7.0f%%\n", static_cast<long>(shape.k),
                    static_cast<long>(shape.n), width, c.name.c_str(), c.best * 1e-9,
                    100 * c.best / peak_of(c.name));
      }
    }
  }
  std::printf("\nsparse over dense, zeros counted as work, by the share of zero 4x1 blocks\n%-12s %6s  %-9s",
              "K x N", "tokens", "kernel");
  const double shares[] = {0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95};
  for (const double share : shares) std::printf(" %6.2f", share);
  std::printf("\n");
  for (const Shape shape : kShapes) {
    for (const int width : {16, 64}) {
      // Dense and sparse in turn.
      const auto pairs_of = [&](Operands& operands) {
        std::vector<Candidate> pairs = {operands.dense_f32(), operands.sparse_f32(), operands.dense_i8(),
                                        operands.sparse_i8()};
        if (&spmm_i8::select(k7BitCodes) != &spmm_i8::select()) {
          pairs.push_back(operands.dense_i8("w7a7_i8", k7BitCodes));
          pairs.push_back(operands.sparse_i8(k7BitCodes));
        }
        return pairs;
      };
      const char* const names[] = {"spmm_f32", "spmm_i8", "w7a7"};
      std::vector<std::string> lines;
      for (const double share : shares) {
        Operands operands(shape, width, share, rng);
        std::vector<Candidate> candidates = pairs_of(operands);
        time_all(candidates, operands.operations(), seconds);
        lines.resize(candidates.size() / 2);
        for (std::size_t i = 0; i < lines.size(); ++i) {
          char cell[16];
          std::snprintf(cell, sizeof cell, " %6.2f", candidates[2 * i + 1].best / candidates[2 * i].best);
          lines[i] += cell;
        }
      }
      for (std::size_t i = 0; i < lines.size(); ++i) {
        std::printf("%5ld x %-5ld %6d  %-9s%s\n", static_cast<long>(shape.k), static_cast<long>(shape.n),
                    width, names[i], lines[i].c_str());
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace penjing

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 0.05;
  if (argc > 2 || !(seconds > 0)) {
    std::fprintf(stderr, "usage: product_bench [SECONDS]\n");
    return 2;
  }
  return penjing::run(seconds);
}
