// A process in a session and a group whose leaders have ended.
#include <sys/prctl.h>

#include "workload.h"

static int report_pipe[2];

static void survivor(void* argument) {
  pid_t root = *(pid_t*)argument;
  pid_t session = getsid(0);
  pid_t group = getpgrp();
  while (getppid() != root) sched_yield();
  wait_for_go();
  CHECK_EQ(getsid(0), session);
  CHECK_EQ(getpgrp(), group);
}

static void leader(void* argument) {
  CHECK_SYS(setsid());
  pid_t ids[2] = {getpid(), spawn(survivor, argument)};
  write_all(report_pipe[1], ids, sizeof ids);
}

int main(void) {
  CHECK_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  CHECK_SYS(pipe(report_pipe));
  pid_t root = getpid();
  reap_child(spawn(leader, &root));
  pid_t ids[2];
  read_all(report_pipe[0], ids, sizeof ids);
  await_waiting_child(ids[1]);

  workload_ready();

  CHECK_ERRNO(kill(ids[0], 0), ESRCH);
  CHECK_EQ(getsid(ids[1]), ids[0]);
  CHECK_EQ(getpgid(ids[1]), ids[0]);
  CHECK_SYS(kill(-ids[0], SIGUSR1));
  reap_child(ids[1]);
  return workload_ok();
}
