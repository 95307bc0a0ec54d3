// A child that has mounted something in a mount namespace of its own that nothing knows.
// modes: container
// rights: CAP_SYS_ADMIN CAP_SYS_CHROOT
// refused: (ramfs) itself
#include <sched.h>
#include <sys/mount.h>

#include "workload.h"

static void apart(void* argument) {
  (void)argument;
  CHECK_SYS(unshare(CLONE_NEWNS));
  CHECK_SYS(mount("mine", "/tmp", "ramfs", 0, NULL));
  wait_for_go();
}

int main(void) {
  pid_t child = spawn(apart, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
