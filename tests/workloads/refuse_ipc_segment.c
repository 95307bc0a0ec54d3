// A child that has left its IPC namespace with a System V segment attached.
// modes: container
// rights: CAP_SYS_ADMIN
// refused: of an IPC namespace that it does not live in
#include <sched.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "workload.h"

static void apart(void* argument) {
  (void)argument;
  int segment = CHECK_SYS(shmget(IPC_PRIVATE, 4096, 0600));
  CHECK(shmat(segment, NULL, 0) != (void*)-1);
  CHECK_SYS(unshare(CLONE_NEWIPC));
  wait_for_go();
}

int main(void) {
  pid_t child = spawn(apart, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
