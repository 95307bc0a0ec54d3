// The x87 stack, the x87 and SSE control words, and the protection key register, per thread.
#include <cpuid.h>

#include "workload.h"

static volatile int go;
static volatile int spinning;

// Eight values on the x87 stack while the thread spins.
static void* x87_stack(void* argument) {
  long double* out = argument;
  __asm__ volatile(
      "fld1\nfldpi\nfldl2e\nfldl2t\nfldlg2\nfldln2\nfldz\nfld1\n"
      "movl $1, (%1)\n1: pause\ncmpl $0, (%2)\nje 1b\n"
      "fstpt (%0)\nfstpt 16(%0)\nfstpt 32(%0)\nfstpt 48(%0)\nfstpt 64(%0)\nfstpt 80(%0)\n"
      "fstpt 96(%0)\nfstpt 112(%0)\n"
      :
      : "r"(out), "r"(&spinning), "r"(&go)
      : "memory", "cc");
  return NULL;
}

static void check_x87(const long double* out) {
  CHECK(out[0] == 1.0L);
  CHECK(out[1] == 0.0L);
  CHECK(out[2] > 0.6931471805599453L && out[2] < 0.6931471805599454L);
  CHECK(out[6] > 3.1415926535897932L && out[6] < 3.1415926535897933L);
  CHECK(out[7] == 1.0L);
}

struct control {
  uint16_t x87;
  uint32_t mxcsr;
  uint32_t keys;
};

static bool has_keys(void) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & (1 << 4));  // OSPKE
}

static void set_control(struct control control) {
  __asm__ volatile("fldcw %0" : : "m"(control.x87));
  __asm__ volatile("ldmxcsr %0" : : "m"(control.mxcsr));
  if (has_keys()) {
    __asm__ volatile(".byte 0x0f,0x01,0xef" : : "a"(control.keys), "c"(0), "d"(0));  // wrpkru
  }
}

static struct control get_control(void) {
  struct control control = {0};
  __asm__ volatile("fnstcw %0" : "=m"(control.x87));
  __asm__ volatile("stmxcsr %0" : "=m"(control.mxcsr));
  if (has_keys()) {
    unsigned high;
    __asm__ volatile(".byte 0x0f,0x01,0xee" : "=a"(control.keys), "=d"(high) : "c"(0));  // rdpkru
  }
  return control;
}

static void check_control(struct control want) {
  struct control got = get_control();
  CHECK_EQ(got.x87, want.x87);
  CHECK_EQ(got.mxcsr & 0xffc0, want.mxcsr);
  if (has_keys()) CHECK_EQ(got.keys, want.keys);
}

static pthread_barrier_t barrier;

static void* other_control(void* argument) {
  // Double precision, round toward zero; SSE flushes to zero; key 5 may not be written.
  struct control control = {0x0e7f, 0xff80, (0x55555554 & ~(3u << 10)) | (2u << 10)};
  set_control(control);
  pthread_barrier_wait(&barrier);
  check_control(control);
  return argument;
}

int main(void) {
  long double values[8];
  struct thread stack_thread;
  struct thread control_thread;
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
  start_thread(&stack_thread, x87_stack, values);
  start_thread(&control_thread, other_control, NULL);
  while (!spinning) sched_yield();
  await_blocked(control_thread.tid, SYS_futex);
  struct control control = {0x0b7f, 0x5f80, 0x55555554};  // both round up
  set_control(control);

  workload_ready();

  check_control(control);
  pthread_barrier_wait(&barrier);
  join_thread(&control_thread);
  go = 1;
  join_thread(&stack_thread);
  check_x87(values);
  return workload_ok();
}
