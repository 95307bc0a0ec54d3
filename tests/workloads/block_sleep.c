// Threads that sleep: nanosleep, clock_nanosleep relative and absolute, on three clocks.
#include "workload.h"

struct sleeper {
  const char* name;
  long (*sleep)(void);
  long number;
  struct timed_wait wait;
  struct thread thread;
};

static long sleep_plain(void) {
  struct timespec time = timespec_of_ms(kWaitMs);
  return syscall(SYS_nanosleep, &time, &time);
}

static long sleep_on(clockid_t clock, int flags) {
  struct timespec time =
      timespec_of_ms(flags & TIMER_ABSTIME ? now_ms(clock) + kWaitMs + 1 : kWaitMs);
  return syscall(SYS_clock_nanosleep, clock, flags, &time, &time);
}

static long sleep_monotonic(void) {
  return sleep_on(CLOCK_MONOTONIC, 0);
}
static long sleep_real(void) {
  return sleep_on(CLOCK_REALTIME, 0);
}
static long sleep_boot(void) {
  return sleep_on(CLOCK_BOOTTIME, 0);
}
static long sleep_until_monotonic(void) {
  return sleep_on(CLOCK_MONOTONIC, TIMER_ABSTIME);
}
static long sleep_until_real(void) {
  return sleep_on(CLOCK_REALTIME, TIMER_ABSTIME);
}
static long sleep_until_boot(void) {
  return sleep_on(CLOCK_BOOTTIME, TIMER_ABSTIME);
}

static void* run(void* argument) {
  struct sleeper* sleeper = argument;
  sleeper->wait.started = wait_clock_ms(&sleeper->wait);
  sleeper->wait.result = sleeper->sleep();
  sleeper->wait.error = errno;
  sleeper->wait.ended = wait_clock_ms(&sleeper->wait);
  return NULL;
}

int main(void) {
  static struct sleeper sleepers[] = {
      {.name = "nanosleep", .sleep = sleep_plain, .number = SYS_nanosleep},
      {.name = "CLOCK_MONOTONIC, relative", .sleep = sleep_monotonic},
      {.name = "CLOCK_REALTIME, relative", .sleep = sleep_real},
      {.name = "CLOCK_BOOTTIME, relative", .sleep = sleep_boot},
      {.name = "CLOCK_MONOTONIC, absolute", .sleep = sleep_until_monotonic},
      {.name = "CLOCK_REALTIME, absolute", .sleep = sleep_until_real, .wait.real_time = true},
      {.name = "CLOCK_BOOTTIME, absolute", .sleep = sleep_until_boot},
  };
  enum { kCount = sizeof sleepers / sizeof *sleepers };
  for (int i = 0; i < kCount; i++) {
    start_thread(&sleepers[i].thread, run, &sleepers[i]);
    await_blocked(sleepers[i].thread.tid,
                  sleepers[i].number ? sleepers[i].number : SYS_clock_nanosleep);
  }
  await_age(&sleepers[kCount - 1].wait);

  workload_ready();

  for (int i = 0; i < kCount; i++) sleepers[i].wait.released = wait_clock_ms(&sleepers[i].wait);
  for (int i = 0; i < kCount; i++) {
    workload_context(sleepers[i].name);
    join_thread(&sleepers[i].thread);
    if (sleepers[i].wait.result == -1) CHECK_EQ(sleepers[i].wait.error, 0);
    check_timed_wait(&sleepers[i].wait);
  }
  return workload_ok();
}
