// A child in a mount namespace of its own whose working directory is in that of its parent.
// modes: container
// rights: CAP_SYS_ADMIN CAP_SYS_CHROOT
// refused: has its cwd directory in another one
#include <sched.h>

#include "workload.h"

static void apart(void* argument) {
  (void)argument;
  int outside = CHECK_SYS(open(".", O_PATH | O_DIRECTORY));
  CHECK_SYS(unshare(CLONE_NEWNS));
  CHECK_SYS(fchdir(outside));
  CHECK_SYS(close(outside));
  wait_for_go();
}

int main(void) {
  pid_t child = spawn(apart, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
