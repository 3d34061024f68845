#include "kernels/cpu.h"

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/error.h"

namespace penjing {

namespace {

struct Name {
  Isa isa;
  const char* name;
};
constexpr Name kNames[] = {{Isa::kRef, "ref"},
                           {Isa::kAvx2, "avx2"},
                           {Isa::kAvxVnni, "avx_vnni"},
                           {Isa::kAvx512, "avx512"},
                           {Isa::kAvx512Vnni, "avx512_vnni"},
                           {Isa::kAvx512Bf16, "avx512_bf16"},
                           {Isa::kAmx, "amx"}};

#if defined(__x86_64__)
// Linux keeps the tile registers from a process until it has asked for them, once, for all its threads.
bool tiles_permitted() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool permitted = ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return permitted;
}
#endif

#if defined(__x86_64__)
// What CPUID says and the operating system keeps (XCR0). Not __builtin_cpu_supports: that is asked before a
// process begins, where nothing can hold it to less (bench/rivals/hold_cpu.c).
struct Features {
  bool avx2 = false, avx_vnni = false, avx512 = false, avx512_vnni = false, avx512_bf16 = false, amx = false;
};

Features read_features() {
  constexpr auto bit = [](unsigned word, int at) { return (word >> at & 1) != 0; };
  Features has;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return has;
  const bool fma = bit(c, 12), xsave = bit(c, 27), f16c = bit(c, 29);
  if (!xsave || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return has;
  unsigned kept = 0, kept_high = 0;
  __asm__ volatile("xgetbv" : "=a"(kept), "=d"(kept_high) : "c"(0));
  const auto keeps = [&](unsigned states) { return (kept & states) == states; };
  has.avx2 = bit(b, 5) && fma && f16c && keeps(0x6);  // SSE and AVX registers
  // F, DQ, BW, VL; masks and 512-bit registers.
  has.avx512 = has.avx2 && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31) && keeps(0xe6);
  has.avx512_vnni = has.avx512 && bit(c, 11);
  const bool tiles = bit(d, 22) && bit(d, 24) && bit(d, 25);  // AMX-BF16, AMX-TILE, AMX-INT8
  if (a == 0 || __get_cpuid_count(7, 1, &a, &b, &c, &d) == 0) return has;
  has.avx_vnni = has.avx2 && bit(a, 4);
  has.avx512_bf16 = has.avx512_vnni && bit(a, 5);
  has.amx = has.avx512_bf16 && tiles && keeps(0x60000);  // tile configuration and data
  return has;
}
#endif

Isa best_isa() {
  Isa best = Isa::kRef;
  for (const Name& entry : kNames) {
    if (cpu_has(entry.isa)) best = entry.isa;
  }
  return best;
}

Isa read_limit() {
  const char* forced = std::getenv("PENJING_ISA");
  if (forced == nullptr || *forced == '\0') return best_isa();
  for (const Name& entry : kNames) {
    if (std::string_view(forced) != entry.name) continue;
    if (!cpu_has(entry.isa)) fail(ErrorKind::kInput, "PENJING_ISA={}: this CPU does not have it", forced);
    return entry.isa;
  }
  fail(ErrorKind::kInput,
       "PENJING_ISA={}: wanted ref, avx2, avx_vnni, avx512, avx512_vnni, avx512_bf16 or amx", forced);
}

// -1: not read yet. Function-local statics would make a thrown error repeatable too, but not replaceable.
std::atomic<int> limit{-1};

std::string first_value(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with(key)) continue;
    const auto colon = line.find(": ");
    return colon == std::string::npos ? "" : line.substr(colon + 2);
  }
  return "";
}

}  // namespace

const char* name_of(Isa isa) {
  for (const Name& entry : kNames) {
    if (entry.isa == isa) return entry.name;
  }
  return "unknown";
}

bool cpu_has(Isa isa) {
#if defined(__x86_64__)
  static const Features has = read_features();
  switch (isa) {
    case Isa::kRef:
      return true;
    case Isa::kAvx2:
      return has.avx2;
    case Isa::kAvxVnni:
      return has.avx_vnni;
    case Isa::kAvx512:
      return has.avx512;
    case Isa::kAvx512Vnni:
      return has.avx512_vnni;
    case Isa::kAvx512Bf16:
      return has.avx512_bf16;
    case Isa::kAmx:
      return has.amx && tiles_permitted();
  }
  return false;
#else
  return isa == Isa::kRef;
#endif
}

bool halves_512_bits() {
#if defined(__x86_64__)
  static const bool halves = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(0, &a, &b, &c, &d) == 0 || b != signature_AMD_ebx) return false;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0) return false;
    const unsigned family = (a >> 8 & 0xf) + (a >> 20 & 0xff);
    return family == 0x19;  // Zen 3 and 4; Zen 5 is 0x1a
  }();
  return halves;
#else
  return false;
#endif
}

Isa isa_limit() {
  int value = limit.load(std::memory_order_relaxed);
  if (value < 0) {
    value = static_cast<int>(read_limit());
    limit.store(value, std::memory_order_relaxed);
  }
  return static_cast<Isa>(value);
}

void force_isa_limit(Isa isa) {
  if (!cpu_has(isa)) fail(ErrorKind::kInput, "instruction set {}: this CPU does not have it", name_of(isa));
  limit.store(static_cast<int>(isa), std::memory_order_relaxed);
}

std::vector<Isa> usable_isas() {
  std::vector<Isa> result;
  for (const Name& entry : kNames) {
    if (cpu_has(entry.isa)) result.push_back(entry.isa);
  }
  return result;
}

CpuInfo read_cpu_info() {
  CpuInfo info;
  info.model = first_value("/proc/cpuinfo", "model name");
  const std::string flags = " " + first_value("/proc/cpuinfo", "flags") + " ";
  for (const char* feature :
       {"avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni",
        "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16"}) {
    if (flags.find(" " + std::string(feature) + " ") == std::string::npos) continue;
    info.features += (info.features.empty() ? "" : " ") + std::string(feature);
  }
  for (int index = 0; index < 8; ++index) {
    const std::string base = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    std::ifstream level_file(base + "level"), type_file(base + "type"), size_file(base + "size");
    int level = 0;
    std::string type;
    int64_t size = 0;
    char unit = 0;
    if (!(level_file >> level) || !(type_file >> type) || !(size_file >> size)) continue;
    size_file >> unit;
    size *= unit == 'M' ? 1 << 20 : unit == 'K' ? 1 << 10 : 1;
    if (level == 1 && type == "Data") info.l1d_bytes = size;
    if (level == 2) info.l2_bytes = size;
    if (level == 3) info.l3_bytes = size;
  }
  return info;
}

}  // namespace penjing
