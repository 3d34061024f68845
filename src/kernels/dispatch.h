#pragma once

#include <iterator>
#include <string>

#include "base/log.h"
#include "kernels/cpu.h"

namespace penjing {

// The best kernel of a family's list (best first, ref last) that the CPU has and isa_limit() allows.
// PENJING_LOG=dispatch tells the choice and why each better one was refused.
// `takes(kernel)`: whether it can do this work; those that cannot are passed over in silence.
template <typename Kernel, std::size_t N, typename Takes>
const Kernel& select_kernel(const char* family, const Kernel* const (&list)[N], const Takes& takes) {
  const Isa limit = isa_limit();
  const bool tell = log_topic_enabled("dispatch");
  for (const Kernel* kernel : list) {
    if (!takes(*kernel)) continue;
    if (kernel->isa <= limit && cpu_has(kernel->isa)) {
      if (tell) log_info("dispatch: {} uses {}", family, name_of(kernel->isa));
      return *kernel;
    }
    if (tell) {
      log_info("dispatch: {} cannot use {}: {}", family, name_of(kernel->isa),
               cpu_has(kernel->isa) ? "PENJING_ISA forbids it" : "the CPU does not have it");
    }
  }
  return **std::prev(std::end(list));
}

template <typename Kernel, std::size_t N>
const Kernel& select_kernel(const char* family, const Kernel* const (&list)[N]) {
  return select_kernel(family, list, [](const Kernel&) { return true; });
}

template <typename Kernel, std::size_t N>
const Kernel* find_kernel(Isa isa, const Kernel* const (&list)[N]) {
  for (const Kernel* kernel : list) {
    if (kernel->isa == isa) return kernel;
  }
  return nullptr;
}

}  // namespace penjing
