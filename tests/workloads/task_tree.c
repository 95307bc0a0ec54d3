// Processes with their parents, groups and sessions: children, grandchildren, a session leader with
// a group of its own members, and a group whose leader is not its eldest member.
#include "workload.h"

struct identity {
  pid_t pid;
  pid_t parent;
  pid_t group;
  pid_t session;
};

static struct identity self(void) {
  return (struct identity){getpid(), getppid(), getpgrp(), getsid(0)};
}

static void check_same(struct identity was) {
  struct identity is = self();
  CHECK_EQ(is.pid, was.pid);
  CHECK_EQ(is.parent, was.parent);
  CHECK_EQ(is.group, was.group);
  CHECK_EQ(is.session, was.session);
}

static void leaf(void* argument) {
  (void)argument;
  struct identity was = self();
  wait_for_go();
  check_same(was);
}

static void group_leader(void* argument) {
  CHECK_SYS(setpgid(0, 0));
  leaf(argument);
}

static void member_of(void* argument) {
  CHECK_SYS(setpgid(0, *(pid_t*)argument));
  leaf(argument);
}

static void session_leader(void* argument) {
  (void)argument;
  CHECK_SYS(setsid());
  pid_t leader = spawn(group_leader, NULL);
  await_waiting_child(leader);
  pid_t member = spawn(member_of, &leader);
  pid_t plain = spawn(leaf, NULL);
  await_waiting_child(member);
  await_waiting_child(plain);
  struct identity was = self();
  wait_for_go();
  check_same(was);
  CHECK_EQ(getpgid(member), leader);
  CHECK_EQ(getsid(member), getpid());
  CHECK_EQ(getpgid(plain), getpid());
  // The whole group is reached through its id.
  CHECK_SYS(kill(-leader, SIGUSR1));
  reap_child(leader);
  reap_child(member);
  finish_child(plain);
}

static void chain(void* argument) {
  int depth = *(int*)argument - 1;
  pid_t child = depth > 0 ? spawn(chain, &depth) : 0;
  if (child) await_waiting_child(child);
  struct identity was = self();
  wait_for_go();
  check_same(was);
  if (child) finish_child(child);
}

int main(void) {
  int depth = 5;
  pid_t children[] = {spawn(leaf, NULL), spawn(session_leader, NULL), spawn(chain, &depth),
                      spawn(group_leader, NULL)};
  for (size_t i = 0; i < sizeof children / sizeof *children; i++) await_waiting_child(children[i]);
  struct identity was = self();

  workload_ready();

  check_same(was);
  CHECK_EQ(getsid(children[1]), children[1]);
  for (size_t i = 0; i < sizeof children / sizeof *children; i++) finish_child(children[i]);
  CHECK_ERRNO(wait(NULL), ECHILD);
  // New processes can be made.
  pid_t fresh = spawn(group_leader, NULL);
  finish_child(fresh);
  return workload_ok();
}
