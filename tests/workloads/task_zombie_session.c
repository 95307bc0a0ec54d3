// A session whose leader has ended and is not reaped, while others of it live on: they are children
// of the same parent as the leader, and one of them has a child.
#include <sys/prctl.h>

#include "workload.h"

enum { kStatus = 5 };

static int report_pipe[2];
static pid_t root;

static void follows(void* argument) {
  pid_t leader = *(pid_t*)argument;
  wait_for_go();
  CHECK_EQ(getsid(0), leader);
  CHECK_EQ(getpgrp(), leader);
}

static void survives(void* argument) {
  pid_t leader = *(pid_t*)argument;
  pid_t child = spawn(follows, &leader);
  await_waiting_child(child);
  while (getppid() != root) sched_yield();
  wait_for_go();
  CHECK_EQ(getppid(), root);
  CHECK_EQ(getsid(0), leader);
  CHECK_EQ(getpgrp(), leader);
  finish_child(child);
}

static void leads(void* argument) {
  (void)argument;
  static pid_t self;
  CHECK_SYS(setsid());
  self = getpid();
  pid_t child = spawn(survives, &self);
  write_all(report_pipe[1], &child, sizeof child);
  _exit(kStatus);
}

int main(void) {
  root = getpid();
  CHECK_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  CHECK_SYS(pipe(report_pipe));
  pid_t leader = spawn(leads, NULL);
  pid_t survivor;
  read_all(report_pipe[0], &survivor, sizeof survivor);
  await_state(leader, 'Z');
  await_waiting_child(survivor);

  workload_ready();

  CHECK_EQ(task_state(leader), 'Z');
  CHECK_EQ(getsid(leader), leader);
  CHECK_EQ(getsid(survivor), leader);
  CHECK_EQ(getpgid(survivor), leader);
  int status = 0;
  CHECK_EQ(CHECK_SYS(waitpid(leader, &status, 0)), leader);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), kStatus);
  CHECK_EQ(getsid(survivor), leader);
  finish_child(survivor);
  return workload_ok();
}
