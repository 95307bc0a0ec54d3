// refused: alone
// The last of a process group, ended and not reaped, whose leader is gone.
#include "workload.h"

static pid_t group;

static void leads(void* argument) {
  (void)argument;
  CHECK_SYS(setpgid(0, 0));
  wait_for_go();
}

static void dies(void* argument) {
  (void)argument;
  CHECK_SYS(setpgid(0, group));
  raise(SIGKILL);
}

int main(void) {
  group = spawn(leads, NULL);
  await_waiting_child(group);
  pid_t dead = spawn(dies, NULL);
  await_state(dead, 'Z');
  finish_child(group);

  workload_ready();

  int status = 0;
  CHECK_EQ(waitpid(-group, &status, 0), dead);
  CHECK(WIFSIGNALED(status));
  return workload_ok();
}
