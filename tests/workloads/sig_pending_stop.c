// Signals of job control that wait behind a mask: a stop that stops as soon as it is let through,
// and a SIGCONT that wakes and then runs its handler.
#include "workload.h"

static volatile sig_atomic_t continued;

static void note(int signal) {
  (void)signal;
  continued++;
}

static sigset_t set_of(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  return set;
}

static bool is_pending(int signal) {
  sigset_t pending;
  CHECK_SYS(sigpending(&pending));
  return sigismember(&pending, signal) == 1;
}

static void will_stop(void* argument) {
  (void)argument;
  CHECK_SYS(setpgid(0, 0));  // SIGTSTP stops nobody in an orphaned group
  sigset_t stop = set_of(SIGTSTP);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &stop, NULL));
  CHECK_SYS(kill(getpid(), SIGTSTP));
  wait_for_go();
  CHECK(is_pending(SIGTSTP));
  CHECK_SYS(sigprocmask(SIG_UNBLOCK, &stop, NULL));  // stops here
  CHECK(!is_pending(SIGTSTP));
}

static void will_continue(void* argument) {
  (void)argument;
  sigset_t resume = set_of(SIGCONT);
  CHECK(signal(SIGCONT, note) != SIG_ERR);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &resume, NULL));
  CHECK_SYS(kill(getpid(), SIGCONT));
  wait_for_go();
  CHECK_EQ(continued, 0);
  CHECK(is_pending(SIGCONT));
  CHECK_SYS(sigprocmask(SIG_UNBLOCK, &resume, NULL));
  CHECK_EQ(continued, 1);
}

int main(void) {
  pid_t stops = spawn(will_stop, NULL);
  await_waiting_child(stops);
  pid_t continues = spawn(will_continue, NULL);
  await_waiting_child(continues);

  workload_ready();

  finish_child(continues);
  CHECK_SYS(kill(stops, SIGUSR1));
  await_state(stops, 'T');
  CHECK_SYS(kill(stops, SIGCONT));
  reap_child(stops);
  return workload_ok();
}
