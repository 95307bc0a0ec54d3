// A child in a user namespace of its own that shares its directories with its own child.
// refused: shares its directories
#include "workload_namespaces.h"

static void hold(void) {
  wait_for_go();
  _exit(0);
}

static void body(void* argument) {
  (void)argument;
  CHECK_SYS(unshare(CLONE_NEWUSER));
  pid_t inner = CHECK_SYS(syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0));
  if (inner == 0) hold();
  await_waiting_child(inner);
  wait_for_go();
  finish_child(inner);
}

int main(void) {
  need_namespaces(CLONE_NEWUSER);
  pid_t child = spawn(body, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
