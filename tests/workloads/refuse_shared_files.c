// Two processes that share a descriptor table, and neither is the other's parent.
// refused: shares its descriptor table
#include "workload.h"

static void hold(void) {
  wait_for_go();
  _exit(0);
}

static void body(void* argument) {
  pid_t sibling = CHECK_SYS(syscall(SYS_clone, CLONE_FILES | CLONE_PARENT | SIGCHLD, 0, 0, 0, 0));
  if (sibling == 0) hold();
  *(volatile pid_t*)argument = sibling;
  hold();
}

int main(void) {
  volatile pid_t* sibling = map_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  pid_t child = spawn(body, (void*)sibling);
  await_waiting_child(child);
  await_waiting_child(*sibling);

  workload_ready();

  finish_child(*sibling);
  finish_child(child);
  return workload_ok();
}
