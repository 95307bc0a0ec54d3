// A grandchild that shares the root's memory, and whose parent has executed a program since.
// refused: has executed a program
#include "workload_sharers.h"

static volatile pid_t* grandchild;

static void waits(void* argument) {
  (void)argument;
  wait_for_go();
}

static void executes(void* argument) {
  (void)argument;
  *grandchild = start_sharer(0, waits, NULL)->pid;
  await_waiting_child(*grandchild);
  char number[16];
  snprintf(number, sizeof number, "%d", *grandchild);
  CHECK_SYS(execl("/proc/self/exe", "parent", number, NULL));
}

int main(int count, char** arguments) {
  if (count > 1) {
    wait_for_go();
    finish_child(atoi(arguments[1]));
    return 0;
  }
  grandchild = map_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  struct sharer* child = start_sharer(0, executes, NULL);
  await_waiting_child(child->pid);
  while (has_same(KCMP_VM, getpid(), child->pid)) sched_yield();
  await_waiting_child(child->pid);

  workload_ready();

  finish_sharer(child);
  return workload_ok();
}
