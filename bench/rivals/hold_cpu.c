// A library for LD_PRELOAD that hides features of the CPU from a process and its threads, so that every engine, ours and
// others', takes the path that it has for a lesser CPU: a real run of that path on this CPU, not a simulation.
// Linux makes CPUID fault on request where the CPU can (/proc/cpuinfo: cpuid_fault); the handler answers for it.
//
//   cc -O2 -shared -fPIC -Wl,-z,initfirst hold_cpu.c -o hold_cpu.so
//   PENJING_HOLD=avx2|avx_vnni|avx512_bf16 LD_PRELOAD=.../hold_cpu.so PROGRAM
//
// avx2         no AVX-512, AVX-VNNI or AMX, as Zen 1 to 3, Haswell to Comet Lake
// avx_vnni     no AVX-512 or AMX, as Alder Lake and later without AVX-512
// avx512_bf16  no AMX and no AVX-512 FP16, as Zen 4
// An unknown level, or a CPU that cannot fault, ends the process with status 96: a figure must never come from a process
// that was not held. A program that reads /proc/cpuinfo instead still sees everything.
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { kSetCpuid = 0x1012 };  // ARCH_SET_CPUID: 0 lets CPUID fault, for this thread and those it makes

typedef struct {
  const char* level;
  uint32_t ebx7, ecx7, edx7, eax71, edx71;  // bits of leaf 7, subleaves 0 and 1, that are cleared
} Level;

// Leaf 7, EBX: AVX512 F, DQ, IFMA, PF, ER, CD, BW, VL; ECX: VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ; EDX: 4VNNIW, 4FMAPS,
// VP2INTERSECT, AMX-BF16, FP16, AMX-TILE, AMX-INT8. Subleaf 1, EAX: AVX-VNNI, AVX512-BF16, AMX-FP16, AVX-IFMA; EDX:
// AVX-VNNI-INT8, AVX-NE-CONVERT, AMX-COMPLEX, AVX-VNNI-INT16, AVX10.
#define BIT(n) (1u << (n))
#define AVX512_EBX (BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31))
#define AVX512_ECX (BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14))
#define AVX512_EDX (BIT(2) | BIT(3) | BIT(8) | BIT(23))
#define AMX_EDX (BIT(22) | BIT(24) | BIT(25))
#define NEWER_EDX1 (BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19))
static const Level kLevels[] = {
    {"avx2", AVX512_EBX, AVX512_ECX, AVX512_EDX | AMX_EDX, BIT(4) | BIT(5) | BIT(21) | BIT(23), NEWER_EDX1},
    {"avx_vnni", AVX512_EBX, AVX512_ECX, AVX512_EDX | AMX_EDX, BIT(5) | BIT(21) | BIT(23), NEWER_EDX1},
    {"avx512_bf16", 0, 0, AMX_EDX | BIT(8) | BIT(23), BIT(4) | BIT(21) | BIT(23), NEWER_EDX1},
};
static const Level* held;
static struct sigaction theirs;  // what the program wants done about its own faults

static void set_faulting(int faulting) { syscall(SYS_arch_prctl, kSetCpuid, faulting ? 0 : 1); }

static void on_fault(int signal, siginfo_t* info, void* context) {
  greg_t* r = ((ucontext_t*)context)->uc_mcontext.gregs;
  const uint8_t* code = (const uint8_t*)r[REG_RIP];
  // A CPUID that faults comes without an address of memory (si_code SI_KERNEL).
  if (info->si_code == SI_KERNEL && code[0] == 0x0f && code[1] == 0xa2) {
    const uint32_t leaf = (uint32_t)r[REG_RAX], subleaf = (uint32_t)r[REG_RCX];
    uint32_t a, b, c, d;
    set_faulting(0);
    __cpuid_count(leaf, subleaf, a, b, c, d);
    set_faulting(1);
    if (leaf == 7 && subleaf == 0) {
      b &= ~held->ebx7;
      c &= ~held->ecx7;
      d &= ~held->edx7;
    } else if (leaf == 7 && subleaf == 1) {
      a &= ~held->eax71;
      d &= ~held->edx71;
    }
    r[REG_RAX] = a;
    r[REG_RBX] = b;
    r[REG_RCX] = c;
    r[REG_RDX] = d;
    r[REG_RIP] += 2;
    return;
  }
  if (theirs.sa_flags & SA_SIGINFO) return theirs.sa_sigaction(signal, info, context);
  if (theirs.sa_handler != SIG_DFL && theirs.sa_handler != SIG_IGN) return theirs.sa_handler(signal);
  struct sigaction fatal = {.sa_handler = SIG_DFL};
  syscall(SYS_rt_sigaction, SIGSEGV, &fatal, NULL, 8);
  raise(SIGSEGV);
}

typedef int (*Sigaction)(int, const struct sigaction*, struct sigaction*);
static int real_sigaction(int signal, const struct sigaction* new_action, struct sigaction* old_action) {
  static Sigaction real;
  if (real == NULL) real = (Sigaction)dlsym(RTLD_NEXT, "sigaction");
  return real(signal, new_action, old_action);
}

// The program's handler of SIGSEGV is kept for its own faults; ours stays in place.
int sigaction(int signal, const struct sigaction* new_action, struct sigaction* old_action) {
  if (signal != SIGSEGV || held == NULL) return real_sigaction(signal, new_action, old_action);
  if (old_action != NULL) *old_action = theirs;
  if (new_action != NULL) theirs = *new_action;
  return 0;
}

void (*signal(int number, void (*handler)(int)))(int) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
  return sigaction(number, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

static void give_up(const char* why) {
  (void)!write(2, why, strlen(why));
  _exit(96);
}

// Before every other constructor (initfirst), the C library's included: getenv() has nothing yet.
__attribute__((constructor)) static void hold(int argc, char** argv, char** environment) {
  (void)argc, (void)argv;
  static const char kName[] = "PENJING_HOLD=";
  const char* wanted = NULL;
  for (; *environment != NULL; ++environment) {
    if (strncmp(*environment, kName, sizeof kName - 1) == 0) wanted = *environment + sizeof kName - 1;
  }
  if (wanted == NULL) give_up("hold_cpu: PENJING_HOLD is not set\n");
  const Level* level = NULL;
  for (unsigned i = 0; i < sizeof kLevels / sizeof kLevels[0]; ++i) {
    if (strcmp(kLevels[i].level, wanted) == 0) level = &kLevels[i];
  }
  if (level == NULL) give_up("hold_cpu: PENJING_HOLD: wanted avx2, avx_vnni or avx512_bf16\n");
  struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
  real_sigaction(SIGSEGV, NULL, &theirs);
  real_sigaction(SIGSEGV, &ours, NULL);
  held = level;
  if (syscall(SYS_arch_prctl, kSetCpuid, 0) != 0) give_up("hold_cpu: this CPU or kernel cannot let CPUID fault\n");
}
