// Interval timers: real, virtual and profiling; their period, what is left, and that they fire.
#include <sys/time.h>

#include "workload.h"

enum { kRealMs = 20, kCpuMs = 10 };

static volatile sig_atomic_t fired[65];

static void on_signal(int number) {
  fired[number]++;
}

static void arm(int which, int64_t value_ms, int64_t interval_ms) {
  struct itimerval timer = {{interval_ms / 1000, interval_ms % 1000 * 1000},
                            {value_ms / 1000, value_ms % 1000 * 1000}};
  CHECK_SYS(setitimer(which, &timer, NULL));
}

static void await_signal(int number) {
  int before = fired[number];
  while (fired[number] < before + 2) {
    volatile uint64_t work = 0;
    for (int i = 0; i < 10000; i++) work = work + i;
    getppid();
  }
}

static void child_body(void* argument) {
  (void)argument;
  // One-shot, far away: it only has to keep what is left.
  arm(ITIMER_REAL, 1000000, 0);
  int64_t started = now_ms(CLOCK_MONOTONIC);
  wait_for_go();
  struct itimerval left;
  CHECK_SYS(getitimer(ITIMER_REAL, &left));
  int64_t elapsed = now_ms(CLOCK_MONOTONIC) - started;
  CHECK_EQ(left.it_interval.tv_sec, 0);
  CHECK_RANGE(left.it_value.tv_sec, 1000 - elapsed / 1000 - 2, 1000);
}

int main(void) {
  static const int kSignals[] = {SIGALRM, SIGVTALRM, SIGPROF};
  for (int i = 0; i < 3; i++) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK_SYS(sigaction(kSignals[i], &action, NULL));
  }
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);
  arm(ITIMER_REAL, kRealMs, kRealMs);
  arm(ITIMER_VIRTUAL, kCpuMs, kCpuMs);
  arm(ITIMER_PROF, kCpuMs, kCpuMs);
  await_signal(SIGALRM);

  workload_ready();

  for (int i = 0; i < 3; i++) await_signal(kSignals[i]);
  struct itimerval left;
  CHECK_SYS(getitimer(ITIMER_REAL, &left));
  CHECK_EQ(left.it_interval.tv_usec, kRealMs * 1000);
  CHECK_SYS(getitimer(ITIMER_PROF, &left));
  CHECK_EQ(left.it_interval.tv_usec, kCpuMs * 1000);
  for (int i = 0; i < 3; i++) arm(i, 0, 0);
  finish_child(child);
  return workload_ok();
}
