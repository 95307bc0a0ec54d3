// A child that has made a user and a PID namespace, and its child that is the first process in it.
// refused: namespace of its own
#include "workload_namespaces.h"

static void first_body(void* argument) {
  (void)argument;
  CHECK_EQ(getpid(), 1);
  wait_for_go();
  CHECK_EQ(getpid(), 1);
}

static void apart_body(void* argument) {
  (void)argument;
  CHECK_SYS(unshare(CLONE_NEWUSER | CLONE_NEWPID));
  pid_t first = spawn(first_body, NULL);
  await_waiting_child(first);
  wait_for_go();
  finish_child(first);
}

int main(void) {
  need_namespaces(CLONE_NEWUSER | CLONE_NEWPID);
  pid_t apart = spawn(apart_body, NULL);
  await_waiting_child(apart);

  workload_ready();

  finish_child(apart);
  return workload_ok();
}
