// A thread that has entered a network namespace of its own, as programs do that serve several.
// modes: pid
// refused: namespace of its own
#include "workload.h"

static void* apart(void* argument) {
  CHECK_SYS(unshare(CLONE_NEWNET));
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
