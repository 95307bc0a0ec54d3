// A nested PID namespace with a mount namespace of its own, in which its /proc is, as
// `unshare --pid --fork --mount-proc` makes it.
// modes: container
// rights: CAP_SYS_ADMIN CAP_SYS_CHROOT
#include <sched.h>

#include "workload_mounts.h"

static char mounts_before[kMountTable];

static void expect_own_proc(void) {
  char self[16] = "";
  CHECK_SYS(readlink("/proc/self", self, sizeof self - 1));
  CHECK_STR(self, "1");
  CHECK(is_there("/proc/1/status"));
}

static void inner_body(void* argument) {
  (void)argument;
  CHECK_EQ(getpid(), 1);
  CHECK_SYS(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV, "hidepid=invisible"));
  expect_own_proc();
  describe_mounts(mounts_before, sizeof mounts_before);
  wait_for_go();
  expect_mounts(mounts_before);
  expect_own_proc();
}

static void outer_body(void* argument) {
  (void)argument;
  if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) workload_skip("no right to make namespaces");
  spread_mounts("/", MS_PRIVATE | MS_REC);
  pid_t inner = spawn(inner_body, NULL);
  await_waiting_child(
      1);  // which its /proc calls it; the container's first process does not wait yet
  wait_for_go();
  finish_child(inner);
}

int main(void) {
  pid_t outer = spawn(outer_body, NULL);
  await_waiting_child(outer);

  workload_ready();

  finish_child(outer);
  return workload_ok();
}
