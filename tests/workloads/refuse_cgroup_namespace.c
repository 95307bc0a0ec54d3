// A child in a cgroup namespace of its own: nothing tells where its root would be elsewhere.
// modes: pid
// refused: cgroup namespace of its own
#include "workload.h"

static void apart(void* argument) {
  (void)argument;
  CHECK_SYS(unshare(CLONE_NEWCGROUP));
  wait_for_go();
}

int main(void) {
  pid_t child = spawn(apart, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
