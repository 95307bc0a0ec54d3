// A process that shares its memory and signal handlers with its parent without being a thread of it
// (CLONE_VM, CLONE_SIGHAND).
// refused: shares its memory
#include "workload.h"

static volatile int word;

static int child_body(void* argument) {
  (void)argument;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  int signal;
  while (sigwait(&set, &signal) != 0) continue;
  word = 42;
  return 0;
}

int main(void) {
  static char stack[256 * 1024] __attribute__((aligned(16)));
  pid_t child =
      CHECK_SYS(clone(child_body, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL));
  await_blocked(child, SYS_rt_sigtimedwait);

  workload_ready();

  finish_child(child);
  CHECK_EQ(word, 42);
  return workload_ok();
}
