// A child that job control has stopped stays stopped until it is continued.
#include "workload.h"

static void body(void* argument) {
  (void)argument;
  wait_for_go();
}

int main(void) {
  pid_t unseen = spawn(body, NULL);  // its stop is not yet reported to the parent
  pid_t seen = spawn(body, NULL);
  await_waiting_child(unseen);
  await_waiting_child(seen);
  CHECK_SYS(kill(unseen, SIGSTOP));
  CHECK_SYS(kill(seen, SIGSTOP));
  int status;
  CHECK_EQ(CHECK_SYS(waitpid(seen, &status, WUNTRACED)), seen);
  CHECK(WIFSTOPPED(status));
  await_state(unseen, 'T');

  workload_ready();

  CHECK_EQ(task_state(unseen), 'T');
  CHECK_EQ(task_state(seen), 'T');
  CHECK_SYS(kill(unseen, SIGUSR1));
  CHECK_SYS(kill(seen, SIGUSR1));
  CHECK_EQ(CHECK_SYS(waitpid(unseen, &status, WNOHANG)), 0);
  CHECK_SYS(kill(seen, SIGCONT));
  CHECK_EQ(CHECK_SYS(waitpid(seen, &status, 0)), seen);
  CHECK_EQ(status, 0);
  CHECK_EQ(CHECK_SYS(waitpid(unseen, &status, WUNTRACED | WNOHANG)), unseen);
  CHECK(WIFSTOPPED(status));
  CHECK_EQ(WSTOPSIG(status), SIGSTOP);
  CHECK_SYS(kill(unseen, SIGCONT));
  reap_child(unseen);
  return workload_ok();
}
