// A zombie in the process group of its parent, which has joined it: the group is that of a sibling.
// Whoever waits for the group finds the zombie there, and no other.
#include "workload.h"

static void end_at_once(void* unused) {
  (void)unused;
}

static void lead(void* unused) {
  (void)unused;
  CHECK_SYS(setpgid(0, 0));
  wait_for_go();
}

static void join_and_wait(void* leader) {
  const pid_t group = *(pid_t*)leader;
  CHECK_SYS(setpgid(0, group));
  pid_t of_group = spawn(end_at_once, NULL);
  await_state(of_group, 'Z');
  pid_t elsewhere = spawn(lead, NULL);
  await_waiting_child(elsewhere);
  wait_for_go();
  CHECK_EQ(getpgrp(), group);
  CHECK_EQ(waitpid(-group, NULL, WNOHANG), of_group);
  CHECK_ERRNO(waitpid(-group, NULL, WNOHANG), ECHILD);
  finish_child(elsewhere);
}

int main(void) {
  pid_t leader = spawn(lead, NULL);
  await_waiting_child(leader);
  pid_t member = spawn(join_and_wait, &leader);
  await_waiting_child(member);

  workload_ready();

  finish_child(member);
  finish_child(leader);
  return workload_ok();
}
