#pragma once

#include <cstdint>

namespace {

// Independent chains, each in a register. A list and not an array, which compilers keep in memory here.
template <typename Register, int kCount>
struct Chains {
  Register value;
  Chains<Register, kCount - 1> others;
};
template <typename Register>
struct Chains<Register, 0> {};

template <typename Register, int kCount>
static inline __attribute__((always_inline)) void set_all(Chains<Register, kCount>& chains, Register value) {
  if constexpr (kCount > 0) {
    chains.value = value;
    set_all(chains.others, value);
  }
}

template <typename Register, int kCount, typename Step>
static inline __attribute__((always_inline)) void step_all(Chains<Register, kCount>& chains,
                                                           const Step& step) {
  if constexpr (kCount > 0) {
    step(chains.value);
    step_all(chains.others, step);
  }
}

// step(value) is an assembly instruction on the chain's register: the compiler can neither drop, merge nor
// move it.
template <typename Register, int kChains, typename Step>
static inline __attribute__((always_inline)) void run_chains(int64_t iterations, Register start, Step step) {
  Chains<Register, kChains> chains;
  set_all(chains, start);
  for (int64_t i = 0; i < iterations; ++i) step_all(chains, step);
}

}  // namespace
