// POSIX timers on the CPU time of a thread that is named by its clock (pthread_getcpuclockid): of
// another thread, and of the first one. Each goes on when its thread works, and only then.
#include "workload_timers.h"

static pthread_barrier_t barrier;

static int create_on(pthread_t thread, int number) {
  clockid_t clock;
  CHECK_EQ(pthread_getcpuclockid(thread, &clock), 0);
  int id = create(clock, number);
  arm(id, kTotalMs, 0);
  return id;
}

static void* work(void* argument) {
  use_ms(kUsedMs);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  use_ms(kTotalMs - kUsedMs + 100);
  return argument;
}

int main(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
  struct thread thread;
  start_thread(&thread, work, NULL);
  int of_other = create_on(thread.handle, SIGRTMIN + 1);
  int of_first = create_on(pthread_self(), SIGRTMIN + 2);
  pthread_barrier_wait(&barrier);
  await_blocked(thread.tid, SYS_futex);

  workload_ready();

  int64_t before = left_ms(of_other);
  CHECK_RANGE(before, kTotalMs - kUsedMs - 100, kTotalMs - kUsedMs + 100);
  use_ms(kUsedMs);
  CHECK_RANGE(left_ms(of_first), kTotalMs - kUsedMs - 100, kTotalMs - kUsedMs);
  CHECK_RANGE(left_ms(of_other), before - 1, before);
  int64_t left = left_ms(of_first);
  pthread_barrier_wait(&barrier);
  join_thread(&thread);
  CHECK(is_pending(SIGRTMIN + 1));
  CHECK(!is_pending(SIGRTMIN + 2));
  use_ms(left + 100);
  CHECK(is_pending(SIGRTMIN + 2));
  return workload_ok();
}
