// POSIX timers on CPU time: of the process, of its only thread, and of a child. What was left of
// them is left, and they fire when that much more was used.
#include "workload_timers.h"

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
