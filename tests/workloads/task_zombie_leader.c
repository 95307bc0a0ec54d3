// Process groups whose leader has ended and is not reaped, as that of a pipeline: others are in the
// group, also one that has ended.
#include "workload.h"

enum { kStatus = 7 };

static pid_t group;

static void joins(void) {
  CHECK_SYS(setpgid(0, group));
}

static void leads(void* argument) {
  (void)argument;
  CHECK_SYS(setpgid(0, 0));
  wait_for_go();
  _exit(kStatus);
}

static void lives(void* argument) {
  (void)argument;
  joins();
  wait_for_go();
  CHECK_EQ(getpgrp(), group);
}

static void dies(void* argument) {
  (void)argument;
  joins();
  raise(SIGKILL);
}

// A process in the group that its own child has led.
static void follows_child(void* argument) {
  (void)argument;
  pid_t child = spawn(leads, NULL);
  await_waiting_child(child);
  CHECK_SYS(setpgid(0, child));
  CHECK_SYS(kill(child, SIGUSR1));
  await_state(child, 'Z');
  wait_for_go();
  CHECK_EQ(getpgrp(), child);
  int status = 0;
  CHECK_EQ(waitpid(-child, &status, 0), child);
  CHECK_EQ(WEXITSTATUS(status), kStatus);
}

int main(void) {
  group = spawn(leads, NULL);
  await_waiting_child(group);
  pid_t member = spawn(lives, NULL);
  await_waiting_child(member);
  pid_t dead = spawn(dies, NULL);
  await_state(dead, 'Z');
  CHECK_SYS(kill(group, SIGUSR1));
  await_state(group, 'Z');
  pid_t follower = spawn(follows_child, NULL);
  await_waiting_child(follower);
  // From now on children leave nothing to be waited for, but these have ended already.
  CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);

  workload_ready();

  CHECK(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
  finish_child(follower);
  CHECK_EQ(task_state(group), 'Z');
  CHECK_EQ(getpgid(group), group);
  CHECK_EQ(getpgid(dead), group);
  CHECK_EQ(getpgid(member), group);
  int status = 0;
  CHECK_EQ(waitpid(group, &status, 0), group);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), kStatus);
  CHECK_EQ(waitpid(-group, &status, 0), dead);  // by its group
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGKILL);
  CHECK_SYS(kill(-group, SIGUSR1));
  reap_child(member);
  CHECK_ERRNO(kill(-group, 0), ESRCH);
  return workload_ok();
}
