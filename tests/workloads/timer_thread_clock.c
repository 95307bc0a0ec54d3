// POSIX timers on the CPU time of a thread that is named by its clock (pthread_getcpuclockid): of
// another thread, and of the first one. Each goes on when its thread works, and only then.
#include "workload.h"

enum { kTotalMs = 400, kUsedMs = 150 };

static pthread_barrier_t barrier;

static int create(pthread_t thread, int number) {
  clockid_t clock;
  CHECK_EQ(pthread_getcpuclockid(thread, &clock), 0);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = number};
  int id = -1;
  CHECK_SYS(syscall(SYS_timer_create, clock, &event, &id));
  struct itimerspec spec = {.it_value = timespec_of_ms(kTotalMs)};
  CHECK_SYS(syscall(SYS_timer_settime, id, 0, &spec, NULL));
  return id;
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
  int of_other = create(thread.handle, SIGRTMIN + 1);
  int of_first = create(pthread_self(), SIGRTMIN + 2);
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
