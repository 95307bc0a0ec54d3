// An orphan whose parent ended before the checkpoint, adopted by the root.
#include <sys/prctl.h>

#include "workload.h"

static void orphan(void* argument) {
  pid_t adopter = *(pid_t*)argument;
  while (getppid() != adopter) sched_yield();
  wait_for_go();
  CHECK_EQ(getppid(), adopter);
}

struct report {
  pid_t root;
  int pipe;
};

static void middle(void* argument) {
  struct report* report = argument;
  pid_t child = spawn(orphan, &report->root);
  write_all(report->pipe, &child, sizeof child);
}

int main(void) {
  CHECK_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int ends[2];
  CHECK_SYS(pipe(ends));
  struct report report = {getpid(), ends[1]};
  reap_child(spawn(middle, &report));
  pid_t child;
  read_all(ends[0], &child, sizeof child);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  CHECK_ERRNO(wait(NULL), ECHILD);
  return workload_ok();
}
