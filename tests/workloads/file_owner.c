// Who gets which signal when a descriptor becomes ready (F_SETOWN, F_SETSIG, O_ASYNC).
#include "workload.h"

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 5);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int ends[2];
  CHECK_SYS(pipe(ends));
  CHECK_SYS(fcntl(ends[0], F_SETOWN, getpid()));
  CHECK_SYS(fcntl(ends[0], F_SETSIG, SIGRTMIN + 5));
  CHECK_SYS(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK));

  workload_ready();

  CHECK_EQ(fcntl(ends[0], F_GETOWN), getpid());
  CHECK_EQ(fcntl(ends[0], F_GETSIG), SIGRTMIN + 5);
  CHECK_EQ(fcntl(ends[0], F_GETFL), O_ASYNC | O_NONBLOCK);
  write_all(ends[1], "x", 1);
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, &info)), SIGRTMIN + 5);
  CHECK_EQ(info.si_fd, ends[0]);
  return workload_ok();
}
