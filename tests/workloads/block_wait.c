// Threads that wait for children: wait4, waitid, for one child and for a process group.
#include "workload.h"

static pid_t children[3];

static void body(void* argument) {
  if (argument) CHECK_SYS(setpgid(0, 0));
  wait_for_go();
  _exit(argument ? 7 : 5);
}

static void* waits_one(void* argument) {
  int status;
  CHECK_EQ(CHECK_SYS(syscall(SYS_wait4, children[0], &status, 0, NULL)), children[0]);
  CHECK_EQ(WEXITSTATUS(status), 5);
  return argument;
}

static void* waits_group(void* argument) {
  int status;
  CHECK_EQ(CHECK_SYS(syscall(SYS_wait4, -children[1], &status, 0, NULL)), children[1]);
  CHECK_EQ(WEXITSTATUS(status), 7);
  return argument;
}

static void* waits_id(void* argument) {
  siginfo_t info = {0};
  CHECK_SYS(syscall(SYS_waitid, P_PID, children[2], &info, WEXITED, NULL));
  CHECK_EQ(info.si_pid, children[2]);
  CHECK_EQ(info.si_status, 5);
  return argument;
}

int main(void) {
  children[0] = spawn(body, NULL);
  children[1] = spawn(body, children);
  children[2] = spawn(body, NULL);
  for (int i = 0; i < 3; i++) await_waiting_child(children[i]);
  struct thread threads[3];
  start_thread(&threads[0], waits_one, NULL);
  start_thread(&threads[1], waits_group, NULL);
  start_thread(&threads[2], waits_id, NULL);
  await_blocked(threads[0].tid, SYS_wait4);
  await_blocked(threads[1].tid, SYS_wait4);
  await_blocked(threads[2].tid, SYS_waitid);

  workload_ready();

  for (int i = 0; i < 3; i++) CHECK_SYS(kill(children[i], SIGUSR1));
  for (int i = 0; i < 3; i++) join_thread(&threads[i]);
  return workload_ok();
}
