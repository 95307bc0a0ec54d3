// A process that shares a descriptor table with a thread, which does not share its process's.
// refused: of another process
#include "workload.h"

static void* body(void* argument) {
  CHECK_SYS(unshare(CLONE_FILES));
  pid_t child = CHECK_SYS(syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0));
  if (child == 0) {
    wait_for_go();
    _exit(0);
  }
  *(volatile pid_t*)argument = child;
  await_waiting_child(child);
  reap_child(child);
  return argument;
}

int main(void) {
  volatile pid_t* child = map_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  struct thread thread;
  start_thread(&thread, body, (void*)child);
  await_blocked(thread.tid, SYS_wait4);

  workload_ready();

  CHECK_SYS(kill(*child, SIGUSR1));
  join_thread(&thread);
  return workload_ok();
}
