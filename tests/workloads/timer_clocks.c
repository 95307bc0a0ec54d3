// Clocks: no thread ever sees a monotonic clock go backwards, and none jumps by more than the
// pause.
#include <sys/time.h>

#include "workload.h"

static const clockid_t kClocks[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
                                    CLOCK_MONOTONIC_COARSE};
enum { kCount = sizeof kClocks / sizeof *kClocks };

static volatile int stop;
static volatile long rounds;

static void* watches(void* argument) {
  int64_t last[kCount] = {0};
  while (!stop) {
    for (int i = 0; i < kCount; i++) {
      int64_t now = now_ns(kClocks[i]);
      CHECK_RANGE(now, last[i], INT64_MAX);
      last[i] = now;
    }
    rounds++;
  }
  return argument;
}

int main(void) {
  struct thread thread;
  start_thread(&thread, watches, NULL);
  int64_t real = now_ms(CLOCK_REALTIME);
  int64_t before[kCount];
  for (int i = 0; i < kCount; i++) before[i] = now_ms(kClocks[i]);

  workload_ready();

  int64_t elapsed = now_ms(CLOCK_REALTIME) - real;
  CHECK_RANGE(elapsed, 0, 120000);
  for (int i = 0; i < kCount; i++)
    CHECK_RANGE(now_ms(kClocks[i]) - before[i], 0, elapsed + kSlackMs);
  long seen = rounds;
  while (rounds == seen) sched_yield();
  stop = 1;
  join_thread(&thread);
  return workload_ok();
}
