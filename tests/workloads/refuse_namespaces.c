// A child in a network, UTS and mount namespace of its own.
// modes: pid
// refused: namespace of its own
#include "workload.h"

static void apart(void* argument) {
  (void)argument;
  CHECK_SYS(unshare(CLONE_NEWUTS | CLONE_NEWNET));
  CHECK_SYS(sethostname("elsewhere", 9));
  wait_for_go();
  char name[64] = {0};
  CHECK_SYS(gethostname(name, sizeof name - 1));
  CHECK_STR(name, "elsewhere");
}

int main(void) {
  pid_t child = spawn(apart, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
