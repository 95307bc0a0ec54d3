// timerfd on every clock: one-shot, periodic, absolute, disarmed, with expirations not read yet.
#include <poll.h>
#include <sys/timerfd.h>

#include "workload.h"

static const clockid_t kClocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
enum { kClockCount = sizeof kClocks / sizeof *kClocks, kPeriodMs = 50 };

static int arm(clockid_t clock, int64_t value_ms, int64_t interval_ms, int flags) {
  int fd = CHECK_SYS(timerfd_create(clock, TFD_CLOEXEC));
  struct itimerspec spec = {timespec_of_ms(interval_ms), timespec_of_ms(value_ms)};
  CHECK_SYS(timerfd_settime(fd, flags, &spec, NULL));
  return fd;
}

static uint64_t ticks(int fd) {
  uint64_t count;
  read_all(fd, &count, sizeof count);
  return count;
}

static bool is_ready(int fd) {
  struct pollfd entry = {fd, POLLIN, 0};
  return CHECK_SYS(poll(&entry, 1, 0)) == 1;
}

static int64_t left_ms(int fd) {
  struct itimerspec spec;
  CHECK_SYS(timerfd_gettime(fd, &spec));
  return spec.it_value.tv_sec * 1000LL + spec.it_value.tv_nsec / 1000000;
}

int main(void) {
  int unread = arm(CLOCK_MONOTONIC, 1, 0, 0);
  while (!is_ready(unread)) sched_yield();
  int disarmed = arm(CLOCK_MONOTONIC, 1, 1, 0);
  while (!is_ready(disarmed)) sched_yield();
  CHECK_SYS(timerfd_settime(disarmed, 0, &(struct itimerspec){0}, NULL));
  int distant = arm(CLOCK_MONOTONIC, 1000000, 0, 0);
  struct timed_wait waits[2][kClockCount] = {0};
  int relative[kClockCount];
  int absolute[kClockCount];
  int periodic[kClockCount];
  for (int i = 0; i < kClockCount; i++) {
    waits[1][i].real_time = kClocks[i] == CLOCK_REALTIME;
    for (int j = 0; j < 2; j++) waits[j][i].started = wait_clock_ms(&waits[j][i]);
    relative[i] = arm(kClocks[i], kWaitMs, 0, 0);
    absolute[i] = arm(kClocks[i], now_ms(kClocks[i]) + kWaitMs + 1, 0, TFD_TIMER_ABSTIME);
    periodic[i] = arm(kClocks[i], 1, kPeriodMs, 0);
  }
  await_age(&waits[0][kClockCount - 1]);

  workload_ready();

  int64_t released = now_ms(CLOCK_MONOTONIC);
  for (int i = 0; i < kClockCount; i++) {
    for (int j = 0; j < 2; j++) waits[j][i].released = wait_clock_ms(&waits[j][i]);
  }
  CHECK_EQ(ticks(unread), 1);
  CHECK(!is_ready(disarmed));
  CHECK_EQ(left_ms(disarmed), 0);
  CHECK_RANGE(left_ms(distant), 1000000 - (released - waits[0][0].started) - kSlackMs,
              1000000 - kWaitAgeMs);
  for (int i = 0; i < kClockCount; i++) {
    workload_context(i == 0 ? "CLOCK_MONOTONIC" : i == 1 ? "CLOCK_REALTIME" : "CLOCK_BOOTTIME");
    CHECK_RANGE(ticks(periodic[i]), kWaitAgeMs / kPeriodMs / 2, INT64_MAX);
    ticks(periodic[i]);  // it goes on
    CHECK_EQ(ticks(relative[i]), 1);
    waits[0][i].ended = wait_clock_ms(&waits[0][i]);
    CHECK_EQ(ticks(absolute[i]), 1);
    waits[1][i].ended = wait_clock_ms(&waits[1][i]);
    check_timed_wait(&waits[0][i]);
    check_timed_wait(&waits[1][i]);
  }
  return workload_ok();
}
