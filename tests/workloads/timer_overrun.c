// Timers whose expirations were not taken: the overrun of a periodic POSIX timer with its signal
// pending counts on, and a one-shot one whose signal is pending does not fire again.
#include "workload.h"

static timer_t make_timer(int signal, int value_ms, int interval_ms) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
  event.sigev_value.sival_int = signal * 10;
  timer_t timer;
  CHECK_SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec when = {timespec_of_ms(interval_ms), timespec_of_ms(value_ms)};
  CHECK_SYS(timer_settime(timer, 0, &when, NULL));
  return timer;
}

static void await_pending(int signal) {
  sigset_t pending;
  do {
    CHECK_SYS(sigpending(&pending));
  } while (sigismember(&pending, signal) != 1);
}

static siginfo_t take(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, &info)), signal);
  CHECK_EQ(info.si_code, SI_TIMER);
  CHECK_EQ(info.si_value.sival_int, signal * 10);
  return info;
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigaddset(&set, SIGRTMIN + 1);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &set, NULL));
  timer_t periodic = make_timer(SIGRTMIN, 10, 10);
  timer_t once = make_timer(SIGRTMIN + 1, 5, 0);
  await_pending(SIGRTMIN);
  await_pending(SIGRTMIN + 1);

  workload_ready();

  take(SIGRTMIN);
  CHECK(timer_getoverrun(periodic) >= 0);
  take(SIGRTMIN);  // it is still periodic
  take(SIGRTMIN + 1);
  struct itimerspec left;
  CHECK_SYS(timer_gettime(once, &left));
  CHECK_EQ(left.it_value.tv_sec, 0);
  CHECK_EQ(left.it_value.tv_nsec, 0);
  sigset_t pending;
  CHECK_SYS(sigpending(&pending));
  CHECK_EQ(sigismember(&pending, SIGRTMIN + 1), 0);
  CHECK_SYS(timer_delete(periodic));
  return workload_ok();
}
