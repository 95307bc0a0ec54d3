// A process that vfork has made, which still runs in its parent's memory.
// modes: pid
// refused: vfork
#include "workload.h"

static volatile pid_t* made;

static void body(void* argument) {
  (void)argument;
  pid_t child = vfork();
  if (child == 0) {
    *made = getpid();
    wait_for_go();
    _exit(0);
  }
  reap_child(child);
}

int main(void) {
  made = map_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  pid_t parent = spawn(body, NULL);
  while (*made == 0) sched_yield();
  await_waiting_child(*made);

  workload_ready();

  CHECK_SYS(kill(*made, SIGUSR1));
  reap_child(parent);
  return workload_ok();
}
