// A thread that waits for several futexes at once: until one is woken, and until an absolute time.
#include <linux/futex.h>

#include "workload.h"

enum { kWaitv = 449, kWords = 3, kPrivate32 = 2 | 128 };  // FUTEX2_SIZE_U32 | FUTEX2_PRIVATE

static uint32_t words[kWords];
static uint32_t others[kWords];
static long woken = -2;

struct waiter {
  uint64_t value;
  uint64_t address;
  uint32_t flags;
  uint32_t reserved;
};

static long wait_for_any(uint32_t* first, const struct timespec* timeout) {
  struct waiter waiters[kWords];
  for (int i = 0; i < kWords; i++)
    waiters[i] = (struct waiter){0, (uint64_t)(uintptr_t)&first[i], kPrivate32, 0};
  return syscall(kWaitv, waiters, kWords, 0, timeout, CLOCK_MONOTONIC);
}

static void* until_woken(void* argument) {
  woken = wait_for_any(words, NULL);
  return argument;
}

static void* until_time(void* argument) {
  struct timed_wait* wait = argument;
  wait->started = now_ms(CLOCK_MONOTONIC);
  struct timespec timeout = timespec_of_ms(wait->started + kWaitMs + 1);
  wait->result = wait_for_any(others, &timeout);
  wait->error = errno;
  wait->ended = wait_clock_ms(wait);
  return NULL;
}

int main(void) {
  if (syscall(kWaitv, NULL, 0, 0, NULL, 0) < 0 && errno == ENOSYS)
    workload_skip("this kernel has no futex_waitv");
  struct timed_wait wait = {0};
  struct thread threads[2];
  start_thread(&threads[0], until_woken, NULL);
  start_thread(&threads[1], until_time, &wait);
  for (int i = 0; i < 2; i++) await_blocked(threads[i].tid, kWaitv);
  await_age(&wait);

  workload_ready();

  wait.released = wait_clock_ms(&wait);
  join_thread(&threads[1]);
  CHECK_EQ(wait.result, -1);
  CHECK_EQ(wait.error, ETIMEDOUT);
  check_timed_wait(&wait);
  CHECK_EQ(woken, -2);
  CHECK_EQ(syscall(SYS_futex, &words[1], FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0), 1);
  join_thread(&threads[0]);
  CHECK_EQ(woken, 1);
  return workload_ok();
}
