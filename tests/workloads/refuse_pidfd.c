// refused: pidfd
#include "workload.h"

static void body(void* argument) {
  (void)argument;
  wait_for_go();
}

int main(void) {
  pid_t child = spawn(body, NULL);
  await_waiting_child(child);
  int fd = CHECK_SYS(syscall(SYS_pidfd_open, child, 0));

  workload_ready();

  CHECK_SYS(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0));
  siginfo_t info = {0};
  CHECK_SYS(waitid(P_PIDFD, fd, &info, WEXITED));
  CHECK_EQ(info.si_pid, child);
  CHECK_EQ(info.si_status, 0);
  return workload_ok();
}
