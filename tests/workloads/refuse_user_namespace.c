// A child that has made a user namespace, as sandboxes of browsers and package builders do.
// refused: namespace of its own
#include "workload.h"

static void apart(void* argument) {
  (void)argument;
  wait_for_go();
}

static void sandboxed(void* argument) {
  if (unshare(CLONE_NEWUSER) != 0) workload_skip("no user namespaces here");
  apart(argument);
}

int main(void) {
  pid_t probe = fork();
  CHECK(probe >= 0);
  if (probe == 0) _exit(unshare(CLONE_NEWUSER) != 0);
  int status = 0;
  CHECK_EQ(waitpid(probe, &status, 0), probe);
  if (status != 0) workload_skip("no user namespaces here");
  pid_t child = spawn(sandboxed, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
