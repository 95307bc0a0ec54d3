// Registrations for expedited memory barriers: a process keeps its own, and has no others.
#include <linux/membarrier.h>

#include "workload.h"

static long barrier(int command) {
  return syscall(SYS_membarrier, command, 0, 0);
}

static void unregistered(void* argument) {
  (void)argument;
  wait_for_go();
  // A kernel that cannot tell what is registered gets this registered to be safe.
  if (barrier(1 << 9) >= 0) CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), EPERM);
}

static pthread_barrier_t rendezvous;

static void* waits(void* argument) {
  pthread_barrier_wait(&rendezvous);
  CHECK_SYS(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
  return argument;
}

int main(void) {
  pid_t child = spawn(unregistered, NULL);
  await_waiting_child(child);
  CHECK_EQ(pthread_barrier_init(&rendezvous, NULL, 2), 0);
  struct thread thread;
  start_thread(&thread, waits, NULL);
  await_blocked(thread.tid, SYS_futex);
  if (barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0)
    workload_skip("the kernel has no expedited barriers");
  CHECK_SYS(barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE));
  CHECK_SYS(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));

  workload_ready();

  CHECK_SYS(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
  CHECK_SYS(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE));
  pthread_barrier_wait(&rendezvous);
  join_thread(&thread);
  finish_child(child);
  return workload_ok();
}
