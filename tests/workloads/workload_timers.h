// POSIX timers on CPU time.
#pragma once

#include "workload.h"

enum { kTotalMs = 400, kUsedMs = 150 };

static int create(clockid_t clock, int number) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = number};
  int id = -1;
  CHECK_SYS(syscall(SYS_timer_create, clock, &event, &id));
  return id;
}

static void arm(int id, int64_t value_ms, int64_t interval_ms) {
  struct itimerspec spec = {timespec_of_ms(interval_ms), timespec_of_ms(value_ms)};
  CHECK_SYS(syscall(SYS_timer_settime, id, 0, &spec, NULL));
}

static int64_t left_ms(int id) {
  struct itimerspec spec;
  CHECK_SYS(syscall(SYS_timer_gettime, id, &spec));
  return spec.it_value.tv_sec * 1000LL + spec.it_value.tv_nsec / 1000000;
}

// Uses this much CPU time of the thread.
static void use_ms(int64_t milliseconds) {
  int64_t end = now_ms(CLOCK_THREAD_CPUTIME_ID) + milliseconds;
  while (now_ms(CLOCK_THREAD_CPUTIME_ID) < end) continue;
}

static bool is_pending(int number) {
  sigset_t pending;
  CHECK_SYS(sigpending(&pending));
  return sigismember(&pending, number);
}
