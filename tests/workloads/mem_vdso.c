// The vDSO: the clocks work through it in threads of this process, and a new program finds its own.
#include <sys/auxv.h>
#include <sys/time.h>

#include "workload.h"

static volatile int stop;
static volatile long calls;

// Reads the clock without a pause, so that the process may be captured inside the vDSO.
static void* reads_clock(void* argument) {
  int64_t last = 0;
  while (!stop) {
    int64_t now = now_ns(CLOCK_MONOTONIC);
    CHECK_RANGE(now, last, INT64_MAX);
    last = now;
    calls++;
  }
  return argument;
}

int main(void) {
  struct thread thread;
  start_thread(&thread, reads_clock, NULL);
  unsigned long vdso = getauxval(AT_SYSINFO_EHDR);
  CHECK(vdso != 0);
  CHECK_EQ(memcmp((void*)vdso, "\177ELF", 4), 0);
  while (calls < 1000) sched_yield();

  workload_ready();

  long before = calls;
  while (calls < before + 1000) sched_yield();
  stop = 1;
  join_thread(&thread);
  struct timespec system_time;
  static const clockid_t kClocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
                                      CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE};
  for (size_t i = 0; i < sizeof kClocks / sizeof *kClocks; i++) {
    CHECK_SYS(syscall(SYS_clock_gettime, kClocks[i], &system_time));
    int64_t from_kernel = system_time.tv_sec * 1000LL + system_time.tv_nsec / 1000000;
    CHECK_RANGE(now_ms(kClocks[i]), from_kernel, from_kernel + kSlackMs);
  }
  struct timeval day;
  CHECK_SYS(gettimeofday(&day, NULL));
  CHECK_RANGE(time(NULL), day.tv_sec - 1, day.tv_sec + 1);
  CHECK(sched_getcpu() >= 0);
  CHECK(getauxval(AT_SYSINFO_EHDR) == vdso);
  CHECK_EQ(memcmp((void*)vdso, "\177ELF", 4), 0);
  return workload_ok();
}
