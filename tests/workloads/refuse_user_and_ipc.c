// A child in an IPC namespace that belongs to a user namespace of its own.
// refused: beside a user namespace
#include <sched.h>

#include "workload.h"

static void apart(void* argument) {
  (void)argument;
  CHECK_SYS(unshare(CLONE_NEWUSER | CLONE_NEWIPC));
  wait_for_go();
}

int main(void) {
  pid_t probe = fork();
  if (probe == 0) _exit(unshare(CLONE_NEWUSER | CLONE_NEWIPC) == 0 ? 0 : 1);
  int status = 0;
  CHECK_EQ(waitpid(probe, &status, 0), probe);
  if (WEXITSTATUS(status) != 0) workload_skip("no user namespaces here");
  pid_t child = spawn(apart, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
