// Ended children that wait to be reaped: one that exited, one that a signal killed, one of a
// thread.
#include "workload.h"

static void exits(void* argument) {
  (void)argument;
  _exit(37);
}

static void killed(void* argument) {
  (void)argument;
  for (;;) pause();
}

int main(void) {
  pid_t first = spawn(exits, NULL);
  pid_t second = spawn(killed, NULL);
  CHECK_SYS(kill(second, SIGKILL));
  await_state(first, 'Z');
  await_state(second, 'Z');

  workload_ready();

  CHECK_EQ(task_state(first), 'Z');
  CHECK_EQ(getpgid(first), getpgrp());
  siginfo_t info = {0};
  CHECK_SYS(waitid(P_PID, first, &info, WEXITED | WNOWAIT));
  CHECK_EQ(info.si_code, CLD_EXITED);
  CHECK_EQ(info.si_status, 37);
  int status;
  CHECK_EQ(CHECK_SYS(waitpid(first, &status, 0)), first);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 37);
  CHECK_EQ(CHECK_SYS(waitpid(second, &status, 0)), second);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGKILL);
  CHECK_ERRNO(wait(NULL), ECHILD);
  return workload_ok();
}
