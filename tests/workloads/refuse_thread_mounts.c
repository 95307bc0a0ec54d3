// A thread that has made a mount namespace for itself.
// modes: container
// rights: CAP_SYS_ADMIN
// refused: mount namespace of its own
#include <sched.h>

#include "workload.h"

static void* apart(void* argument) {
  CHECK_SYS(unshare(CLONE_NEWNS));
  wait_for_go();
  return argument;
}

int main(void) {
  struct thread thread;
  start_thread(&thread, apart, NULL);
  await_blocked(thread.tid, SYS_rt_sigtimedwait);

  workload_ready();

  CHECK_EQ(pthread_kill(thread.handle, SIGUSR1), 0);
  join_thread(&thread);
  return workload_ok();
}
