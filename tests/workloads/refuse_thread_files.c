// A thread with a descriptor table of its own.
// refused: descriptor table
#include "workload.h"

static void* body(void* argument) {
  CHECK_SYS(unshare(CLONE_FILES));
  wait_for_go();
  return argument;
}

int main(void) {
  struct thread thread;
  start_thread(&thread, body, NULL);
  await_blocked(thread.tid, SYS_rt_sigtimedwait);

  workload_ready();

  CHECK_EQ(pthread_kill(thread.handle, SIGUSR1), 0);
  join_thread(&thread);
  return workload_ok();
}
