// Vector and floating-point registers: a thread for each register set this processor has holds a
// pattern in all of its registers while it computes, and another while it waits in the kernel.
#include <cpuid.h>

#include "workload.h"

struct exchange {
  volatile int* go;
  volatile int running;
  unsigned char in[64 * 32] __attribute__((aligned(64)));
  unsigned char out[64 * 32] __attribute__((aligned(64)));
};

static volatile int go;

#define EACH16(F) \
  F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)
#define EACH16_HIGH(F) \
  F(16) F(17) F(18) F(19) F(20) F(21) F(22) F(23) F(24) F(25) F(26) F(27) F(28) F(29) F(30) F(31)
#define EACH8(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7)

#define LOAD_XMM(i) "movdqa 16*" #i "(%0), %%xmm" #i "\n"
#define SAVE_XMM(i) "movdqa %%xmm" #i ", 16*" #i "(%1)\n"
#define LOAD_YMM(i) "vmovdqa 32*" #i "(%0), %%ymm" #i "\n"
#define SAVE_YMM(i) "vmovdqa %%ymm" #i ", 32*" #i "(%1)\n"
#define LOAD_ZMM(i) "vmovdqa64 64*" #i "(%0), %%zmm" #i "\n"
#define SAVE_ZMM(i) "vmovdqa64 %%zmm" #i ", 64*" #i "(%1)\n"
#define LOAD_MASK(i) "kmovq 8*" #i "(%0), %%k" #i "\n"
#define SAVE_MASK(i) "kmovq %%k" #i ", 8*" #i "(%1)\n"
#define LOAD_MMX(i) "movq 8*" #i "(%0), %%mm" #i "\n"
#define SAVE_MMX(i) "movq %%mm" #i ", 8*" #i "(%1)\n"

#define SPIN "movl $1, (%2)\n1: pause\ncmpl $0, (%3)\nje 1b\n"
// In the kernel: futex(go, FUTEX_WAIT, 0), which returns when go changes.
#define SLEEP                                                                              \
  "movl $1, (%2)\n1: mov $202, %%eax\nmov %3, %%rdi\nxor %%esi, %%esi\nxor %%edx, %%edx\n" \
  "xor %%r10d, %%r10d\nsyscall\ncmpl $0, (%3)\nje 1b\n"

#define HOLD(name, load, wait, save, end)                                                       \
  static void* name(void* argument) {                                                           \
    struct exchange* exchange = argument;                                                       \
    __asm__ volatile(load wait save end                                                         \
                     :                                                                          \
                     : "r"(exchange->in), "r"(exchange->out), "r"(&exchange->running), "r"(&go) \
                     : "memory", "cc", "rax", "rcx", "rdx", "rsi", "rdi", "r10", "r11", "xmm0", \
                       "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",  \
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");                   \
    return NULL;                                                                                \
  }

HOLD(sse_spins, EACH16(LOAD_XMM), SPIN, EACH16(SAVE_XMM), "")
HOLD(sse_sleeps, EACH16(LOAD_XMM), SLEEP, EACH16(SAVE_XMM), "")
HOLD(mmx_spins, EACH8(LOAD_MMX), SPIN, EACH8(SAVE_MMX), "emms\n")
HOLD(avx_spins, EACH16(LOAD_YMM), SPIN, EACH16(SAVE_YMM), "vzeroupper\n")
HOLD(avx_sleeps, EACH16(LOAD_YMM), SLEEP, EACH16(SAVE_YMM), "vzeroupper\n")
HOLD(avx512_spins, EACH16(LOAD_ZMM) EACH16_HIGH(LOAD_ZMM), SPIN,
     EACH16(SAVE_ZMM) EACH16_HIGH(SAVE_ZMM), "vzeroupper\n")
HOLD(avx512_sleeps, EACH16(LOAD_ZMM) EACH16_HIGH(LOAD_ZMM), SLEEP,
     EACH16(SAVE_ZMM) EACH16_HIGH(SAVE_ZMM), "vzeroupper\n")
HOLD(mask_spins, EACH8(LOAD_MASK), SPIN, EACH8(SAVE_MASK), "")

static struct {
  const char* name;
  void* (*body)(void*);
  size_t bytes;
  const char* feature;  // of __builtin_cpu_supports, which wants a literal
} const kSets[] = {
    {"SSE in a loop", sse_spins, 256, "sse2"},
    {"SSE in a wait", sse_sleeps, 256, "sse2"},
    {"MMX in a loop", mmx_spins, 64, "sse2"},
    {"AVX in a loop", avx_spins, 512, "avx"},
    {"AVX in a wait", avx_sleeps, 512, "avx"},
    {"AVX-512 in a loop", avx512_spins, 2048, "avx512"},
    {"AVX-512 in a wait", avx512_sleeps, 2048, "avx512"},
    {"masks in a loop", mask_spins, 64, "avx512"},
};
enum { kSetCount = sizeof kSets / sizeof *kSets };

static bool supported(const char* feature) {
  if (strcmp(feature, "avx") == 0) return __builtin_cpu_supports("avx");
  if (strcmp(feature, "avx512") == 0) return __builtin_cpu_supports("avx512bw");
  return true;
}

int main(void) {
  static struct exchange exchanges[kSetCount];
  static struct thread threads[kSetCount];
  for (int i = 0; i < kSetCount; i++) {
    if (!supported(kSets[i].feature)) continue;
    fill_pattern(exchanges[i].in, kSets[i].bytes, i);
    start_thread(&threads[i], kSets[i].body, &exchanges[i]);
    while (!exchanges[i].running) sched_yield();
    if (strstr(kSets[i].name, "wait")) await_blocked(threads[i].tid, SYS_futex);
  }

  workload_ready();

  go = 1;
  syscall(SYS_futex, &go, 1 /* FUTEX_WAKE */, INT32_MAX, NULL, NULL, 0);
  for (int i = 0; i < kSetCount; i++) {
    if (!supported(kSets[i].feature)) continue;
    workload_context(kSets[i].name);
    join_thread(&threads[i]);
    check_pattern(exchanges[i].out, kSets[i].bytes, i);
  }
  return workload_ok();
}
