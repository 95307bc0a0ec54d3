// A process that another one traces.
// refused: traced
#include <sys/ptrace.h>

#include "workload.h"

static void body(void* argument) {
  (void)argument;
  wait_for_go();
}

int main(void) {
  pid_t child = spawn(body, NULL);
  await_waiting_child(child);
  if (ptrace(PTRACE_SEIZE, child, 0, 0) != 0) workload_skip("ptrace is not allowed");

  workload_ready();

  CHECK_SYS(ptrace(PTRACE_INTERRUPT, child, 0, 0));
  int status;
  CHECK_EQ(CHECK_SYS(waitpid(child, &status, 0)), child);
  CHECK(WIFSTOPPED(status));
  CHECK_SYS(ptrace(PTRACE_DETACH, child, 0, 0));
  finish_child(child);
  return workload_ok();
}
