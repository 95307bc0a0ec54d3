// A child in a network namespace of its own.
// modes: pid
// refused: namespace of its own
#include "workload.h"

static void apart(void* argument) {
  (void)argument;
  CHECK_SYS(unshare(CLONE_NEWNET));
  wait_for_go();
}

int main(void) {
  pid_t child = spawn(apart, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
