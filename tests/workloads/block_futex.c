// Threads that wait in futex: without a timeout, with a relative one, with an absolute one on
// either clock; and FUTEX_WAIT_BITSET wakes by bits.
#include <linux/futex.h>

#include "workload.h"

static int word;
static int64_t untimed_result = -1;
static int bitset_woken;

static long futex_wait(int operation, const struct timespec* timeout, uint32_t bits) {
  return syscall(SYS_futex, &word, operation, 0, timeout, NULL, bits);
}

static void* untimed(void* argument) {
  untimed_result = futex_wait(FUTEX_WAIT, NULL, 0);
  return argument;
}

static void* bitset(void* argument) {
  bitset_woken = futex_wait(FUTEX_WAIT_BITSET, NULL, 0x100) == 0;
  return argument;
}

static void wait_timed(struct timed_wait* wait, int operation, const struct timespec* timeout) {
  wait->result = futex_wait(operation, timeout, FUTEX_BITSET_MATCH_ANY);
  wait->error = errno;
  wait->ended = wait_clock_ms(wait);
}

static void* relative(void* argument) {
  struct timed_wait* wait = argument;
  struct timespec timeout = timespec_of_ms(kWaitMs);
  wait->started = now_ms(CLOCK_MONOTONIC);
  wait_timed(wait, FUTEX_WAIT_PRIVATE, &timeout);
  return NULL;
}

static void* absolute(void* argument) {
  struct timed_wait* wait = argument;
  wait->started = now_ms(CLOCK_MONOTONIC);
  struct timespec timeout = timespec_of_ms(wait->started + kWaitMs + 1);
  wait_timed(wait, FUTEX_WAIT_BITSET, &timeout);
  return NULL;
}

static void* absolute_real(void* argument) {
  struct timed_wait* wait = argument;
  wait->real_time = true;
  wait->started = wait_clock_ms(wait);
  struct timespec timeout = timespec_of_ms(wait->started + kWaitMs + 1);
  wait_timed(wait, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, &timeout);
  return NULL;
}

int main(void) {
  struct timed_wait waits[3] = {0};
  struct thread threads[5];
  start_thread(&threads[0], untimed, NULL);
  start_thread(&threads[1], bitset, NULL);
  start_thread(&threads[2], relative, &waits[0]);
  start_thread(&threads[3], absolute, &waits[1]);
  start_thread(&threads[4], absolute_real, &waits[2]);
  for (int i = 0; i < 5; i++) await_blocked(threads[i].tid, SYS_futex);
  await_age(&waits[2]);

  workload_ready();

  for (int i = 0; i < 3; i++) waits[i].released = wait_clock_ms(&waits[i]);
  static const char* const kNames[] = {"a relative timeout", "an absolute timeout",
                                       "an absolute timeout on the real-time clock"};
  for (int i = 0; i < 3; i++) {
    workload_context(kNames[i]);
    join_thread(&threads[2 + i]);
    CHECK_EQ(waits[i].result, -1);
    CHECK_EQ(waits[i].error, ETIMEDOUT);
    check_timed_wait(&waits[i]);
  }
  workload_context("no timeout");
  CHECK_EQ(untimed_result, -1);  // nothing has woken it so far
  CHECK_EQ(bitset_woken, 0);
  CHECK_EQ(syscall(SYS_futex, &word, FUTEX_WAKE_BITSET, 9, NULL, NULL, 0x100), 2);
  join_thread(&threads[0]);
  join_thread(&threads[1]);
  CHECK_EQ(untimed_result, 0);
  CHECK_EQ(bitset_woken, 1);
  return workload_ok();
}
