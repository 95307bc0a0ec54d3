// A session whose leader has ended and is not reaped by its parent, which is not that of who is
// left in the session.
// refused: is not reaped
#include <sys/prctl.h>

#include "workload.h"

static int report_pipe[2];

static void survives(void* argument) {
  pid_t root = *(pid_t*)argument;
  while (getppid() != root) sched_yield();
  wait_for_go();
}

static void leads(void* argument) {
  CHECK_SYS(setsid());
  pid_t ids[2] = {getpid(), spawn(survives, argument)};
  write_all(report_pipe[1], ids, sizeof ids);
}

static void does_not_reap(void* argument) {
  spawn(leads, argument);
  wait_for_go();
}

int main(void) {
  pid_t root = getpid();
  CHECK_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  CHECK_SYS(pipe(report_pipe));
  pid_t parent = spawn(does_not_reap, &root);
  pid_t ids[2];
  read_all(report_pipe[0], ids, sizeof ids);
  await_state(ids[0], 'Z');
  await_waiting_child(ids[1]);
  await_waiting_child(parent);

  workload_ready();

  CHECK_EQ(task_state(ids[0]), 'Z');
  CHECK_EQ(getsid(ids[1]), ids[0]);
  finish_child(ids[1]);
  finish_child(parent);
  reap_child(ids[0]);
  return workload_ok();
}
