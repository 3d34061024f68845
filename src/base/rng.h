#pragma once

#include <array>
#include <cstdint>

namespace penjing {

// Counter-based random numbers (Philox4x32-10; Salmon et al. 2011, "Parallel Random Numbers: As Easy as
// 1, 2, 3"). The stream is a pure function of (key, counter): the same on every thread count.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// The stream named by (seed, stream); draw i of it does not depend on the draws before.
class Rng {
 public:
  explicit Rng(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint64_t bits();                 // 64 uniform bits
  uint64_t below(uint64_t bound);  // uniform in [0, bound), bound >= 1, without modulo bias
  double uniform();                // [0, 1), 53 bits
  float normal();                  // mean 0, variance 1 (Box-Muller on two draws)
  uint64_t position() const { return position_; }
  void seek(uint64_t position) { position_ = position; }

 private:
  uint64_t seed_, stream_, position_ = 0;
};

}  // namespace penjing
