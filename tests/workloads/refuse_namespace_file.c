// A descriptor of a namespace that nobody of the group lives in.
// modes: pid
// refused: namespace that no process of the group lives in
#include "workload.h"

static void apart(void* argument) {
  (void)argument;
  CHECK_SYS(unshare(CLONE_NEWUTS));
  wait_for_go();
}

int main(void) {
  pid_t child = spawn(apart, NULL);
  await_waiting_child(child);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/uts", child);
  int other = CHECK_SYS(open(path, O_RDONLY));
  finish_child(child);

  workload_ready();

  CHECK_SYS(fcntl(other, F_GETFL));
  return workload_ok();
}
