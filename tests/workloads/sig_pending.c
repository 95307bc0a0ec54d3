// Signals that are blocked and pending: for the process and for single threads, real-time ones with
// their payload and in order, with sender and code.
#include "workload.h"

static pthread_barrier_t barrier;
static sigset_t all;

static siginfo_t take(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  siginfo_t info = {0};
  // The C library's wrapper hides SI_TKILL.
  CHECK_EQ(CHECK_SYS(syscall(SYS_rt_sigtimedwait, &set, &info, &(struct timespec){0}, 8)), number);
  return info;
}

static void expect_none(void) {
  CHECK_ERRNO(sigtimedwait(&all, NULL, &(struct timespec){0}), EAGAIN);
}

static void* work(void* argument) {
  pthread_barrier_wait(&barrier);
  CHECK_EQ(take(SIGUSR2).si_code, SI_TKILL);
  CHECK_EQ(take(SIGRTMIN + 6).si_value.sival_int, 61);
  pthread_barrier_wait(&barrier);
  return argument;
}

static void sender(void* argument) {
  CHECK_SYS(sigqueue(getppid(), SIGRTMIN + 9, (union sigval){.sival_ptr = argument}));
}

int main(void) {
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  sigdelset(&all, SIGUSR1);
  sigdelset(&all, SIGCHLD);
  CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
  struct thread thread;
  start_thread(&thread, work, NULL);
  await_blocked(thread.tid, SYS_futex);
  CHECK_EQ(pthread_kill(thread.handle, SIGUSR2), 0);
  CHECK_EQ(pthread_sigqueue(thread.handle, SIGRTMIN + 6, (union sigval){.sival_int = 61}), 0);
  CHECK_SYS(kill(getpid(), SIGTERM));
  CHECK_SYS(kill(getpid(), SIGTERM));  // a standard signal is pending once
  for (int i = 0; i < 20; i++) {
    CHECK_SYS(sigqueue(getpid(), SIGRTMIN + 7, (union sigval){.sival_int = i}));
  }
  pid_t child = spawn(sender, (void*)0x123456789abcdef0);
  reap_child(child);
  raise(SIGHUP);  // of this thread alone

  workload_ready();

  CHECK_EQ(take(SIGHUP).si_code, SI_TKILL);
  siginfo_t info = take(SIGTERM);
  CHECK_EQ(info.si_code, SI_USER);
  CHECK_EQ(info.si_pid, getpid());
  for (int i = 0; i < 20; i++) CHECK_EQ(take(SIGRTMIN + 7).si_value.sival_int, i);
  info = take(SIGRTMIN + 9);
  CHECK_EQ(info.si_code, SI_QUEUE);
  CHECK_EQ(info.si_pid, child);
  CHECK_EQ(info.si_value.sival_ptr, 0x123456789abcdef0);
  expect_none();
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  join_thread(&thread);
  expect_none();
  return workload_ok();
}
