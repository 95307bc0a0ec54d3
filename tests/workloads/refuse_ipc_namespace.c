// A child of a plain process tree in an IPC namespace of its own.
// modes: pid
// refused: IPC namespace of its own
#include <sched.h>

#include "workload.h"

static void apart(void* argument) {
  (void)argument;
  CHECK_SYS(unshare(CLONE_NEWIPC));
  wait_for_go();
}

int main(void) {
  pid_t child = spawn(apart, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
