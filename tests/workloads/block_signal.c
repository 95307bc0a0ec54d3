// Threads that wait for signals: sigwaitinfo, sigtimedwait with a timeout, pause, and sigsuspend
// with a mask of its own.
#include "workload.h"

static _Thread_local volatile sig_atomic_t handled;

static void on_signal(int number) {
  handled = number;
}

static sigset_t set_of(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  return set;
}

static void block(int number) {
  sigset_t set = set_of(number);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

static void* waits(void* argument) {
  sigset_t set = set_of(SIGRTMIN + 1);
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, &info)), SIGRTMIN + 1);
  CHECK_EQ(info.si_value.sival_int, 77);
  return argument;
}

static void* waits_timed(void* argument) {
  struct timed_wait* wait = argument;
  sigset_t set = set_of(SIGRTMIN + 2);
  struct timespec timeout = timespec_of_ms(kWaitMs);
  wait->started = now_ms(CLOCK_MONOTONIC);
  wait->result = sigtimedwait(&set, NULL, &timeout);
  wait->error = errno;
  wait->ended = now_ms(CLOCK_MONOTONIC);
  return NULL;
}

static void* pauses(void* argument) {
  CHECK_ERRNO(pause(), EINTR);
  CHECK_EQ(handled, SIGUSR2);
  return argument;
}

static void* suspends(void* argument) {
  block(SIGUSR2);
  block(SIGWINCH);
  sigset_t mask;
  sigfillset(&mask);
  sigdelset(&mask, SIGUSR2);
  CHECK_ERRNO(sigsuspend(&mask), EINTR);
  CHECK_EQ(handled, SIGUSR2);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
  CHECK_EQ(sigismember(&mask, SIGUSR2), 1);
  CHECK_EQ(sigismember(&mask, SIGWINCH), 1);
  CHECK_EQ(sigismember(&mask, SIGTERM), 0);
  return argument;
}

int main(void) {
  signal(SIGUSR2, on_signal);
  block(SIGRTMIN + 1);
  block(SIGRTMIN + 2);
  struct timed_wait wait = {0};
  struct thread threads[4];
  start_thread(&threads[0], waits, NULL);
  start_thread(&threads[1], waits_timed, &wait);
  start_thread(&threads[2], pauses, NULL);
  start_thread(&threads[3], suspends, NULL);
  await_blocked(threads[0].tid, SYS_rt_sigtimedwait);
  await_blocked(threads[1].tid, SYS_rt_sigtimedwait);
  await_blocked(threads[2].tid, SYS_pause);
  await_blocked(threads[3].tid, SYS_rt_sigsuspend);
  await_age(&wait);

  workload_ready();

  wait.released = now_ms(CLOCK_MONOTONIC);
  join_thread(&threads[1]);
  CHECK_EQ(wait.result, -1);
  CHECK_EQ(wait.error, EAGAIN);
  CHECK_RANGE(wait.ended - wait.started, kWaitMs - 1, INT64_MAX);
  union sigval value = {.sival_int = 77};
  CHECK_EQ(pthread_sigqueue(threads[0].handle, SIGRTMIN + 1, value), 0);
  CHECK_EQ(pthread_kill(threads[2].handle, SIGUSR2), 0);
  CHECK_EQ(pthread_kill(threads[3].handle, SIGUSR2), 0);
  join_thread(&threads[0]);
  join_thread(&threads[2]);
  join_thread(&threads[3]);
  return workload_ok();
}
