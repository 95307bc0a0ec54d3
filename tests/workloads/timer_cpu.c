// POSIX timers on CPU time: of the process, of its only thread, and of a child. What was left of
// them is left, and they fire when that much more was used.
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

// The kernel looks at these timers once a tick.
static void check_fires(int id, int number) {
  CHECK_RANGE(left_ms(id), kTotalMs - kUsedMs - 100, kTotalMs - kUsedMs);
  CHECK(!is_pending(number));
  use_ms(kTotalMs - kUsedMs + 100);
  CHECK(is_pending(number));
}

static void child_body(void* argument) {
  (void)argument;
  int thread = create(CLOCK_THREAD_CPUTIME_ID, SIGRTMIN + 2);
  arm(thread, kTotalMs, 0);
  use_ms(kUsedMs);
  wait_for_go();
  check_fires(thread, SIGRTMIN + 2);
  CHECK_EQ(left_ms(thread), 0);
}

int main(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);
  int process = create(CLOCK_PROCESS_CPUTIME_ID, SIGRTMIN + 1);
  int distant = create(CLOCK_PROCESS_CPUTIME_ID, SIGRTMIN + 3);
  arm(distant, 1000000, 0);
  arm(process, kTotalMs, 50);
  use_ms(kUsedMs);

  workload_ready();

  check_fires(process, SIGRTMIN + 1);
  CHECK_RANGE(left_ms(distant), 1000000 - 2 * kTotalMs, 1000000 - kUsedMs);
  finish_child(child);
  return workload_ok();
}
