#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace penjing {

// Instruction sets that kernels are written for, in ascending order of preference.
enum class Isa { kRef, kAvx2, kAvxVnni, kAvx512, kAvx512Vnni, kAvx512Bf16, kAmx };

const char* name_of(Isa isa);  // "ref", "avx2", "avx_vnni", "avx512", "avx512_vnni", "avx512_bf16", "amx"

// What the CPU and the operating system can run (CPUID and XGETBV), highest allowed by PENJING_ISA
// (ref|avx2|avx_vnni|avx512|avx512_vnni|avx512_bf16|amx). An unknown or unsupported name is an Error
// (kInput).
bool cpu_has(Isa isa);           // ignores PENJING_ISA
Isa isa_limit();                 // PENJING_ISA or the best there is; read once
void force_isa_limit(Isa isa);   // tests and bench: replaces the limit; kInput when the CPU lacks it
std::vector<Isa> usable_isas();  // those the CPU has, ascending

// Whether it works off 512 bits in two halves (Zen 4): such CPUs want other tiles than those with two whole
// 512-bit multipliers.
bool halves_512_bits();

// Model name, features and cache sizes for `bench` and `doctor`.
struct CpuInfo {
  std::string model;
  std::string features;  // "avx2 fma f16c avx512f avx512vnni ..."
  int64_t l1d_bytes = 0, l2_bytes = 0, l3_bytes = 0;
};
CpuInfo read_cpu_info();

}  // namespace penjing
