// signalfd: the mask of each, a signal that was pending, and one that comes afterwards.
#include <sys/signalfd.h>

#include "workload.h"

static int make(int first, int second) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, first);
  sigaddset(&set, second);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return CHECK_SYS(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

static void expect_signal(int fd, int number, int value) {
  struct signalfd_siginfo info;
  read_all(fd, &info, sizeof info);
  CHECK_EQ(info.ssi_signo, number);
  if (value) CHECK_EQ(info.ssi_int, value);
  CHECK_EQ(info.ssi_pid, getpid());
}

int main(void) {
  int first = make(SIGUSR2, SIGRTMIN + 3);
  int second = make(SIGTERM, SIGHUP);
  CHECK_SYS(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 31}));
  CHECK_SYS(kill(getpid(), SIGHUP));

  workload_ready();

  struct signalfd_siginfo info;
  expect_signal(first, SIGRTMIN + 3, 31);
  CHECK_ERRNO(read(first, &info, sizeof info), EAGAIN);
  expect_signal(second, SIGHUP, 0);
  CHECK_SYS(kill(getpid(), SIGTERM));
  CHECK_ERRNO(read(first, &info, sizeof info), EAGAIN);
  expect_signal(second, SIGTERM, 0);
  CHECK_SYS(kill(getpid(), SIGUSR2));
  expect_signal(first, SIGUSR2, 0);
  CHECK_EQ(fcntl(first, F_GETFD), FD_CLOEXEC);
  return workload_ok();
}
