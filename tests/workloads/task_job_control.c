// Children in each state of job control: stopped by SIGTSTP, stopped with a signal that waits for
// it to go on, stopped and continued without its parent having asked, stopped and reported already.
#include "workload.h"

static void hold(void* argument) {
  (void)argument;
  wait_for_go();
}

// SIGTSTP stops nobody in a group that no shell of the session could let go on.
static void hold_in_group(void* argument) {
  CHECK_SYS(setpgid(0, 0));
  hold(argument);
}

static volatile sig_atomic_t handled;

static void note(int signal) {
  handled = signal;
}

static void hold_and_handle(void* argument) {
  (void)argument;
  CHECK(signal(SIGUSR2, note) != SIG_ERR);
  wait_for_go();
  CHECK_EQ(handled, SIGUSR2);
}

static pid_t stopped(void (*body)(void*), int by) {
  pid_t child = spawn(body, NULL);
  await_waiting_child(child);
  CHECK_SYS(kill(child, by));
  await_state(child, 'T');
  return child;
}

static int change_of(pid_t child, int options) {
  int status = 0;
  CHECK_EQ(waitpid(child, &status, options), child);
  return status;
}

int main(void) {
  pid_t unreported = stopped(hold_in_group, SIGTSTP);
  pid_t signalled = stopped(hold_and_handle, SIGSTOP);
  CHECK_SYS(kill(signalled, SIGUSR2));
  pid_t killed = stopped(hold, SIGSTOP);
  pid_t reported = stopped(hold, SIGSTOP);
  CHECK_EQ(WSTOPSIG(change_of(reported, WUNTRACED)), SIGSTOP);

  workload_ready();

  pid_t all[] = {unreported, signalled, killed, reported};
  for (int i = 0; i < 4; i++) CHECK_EQ(task_state(all[i]), 'T');
  CHECK_SYS(kill(killed, SIGKILL));
  int status = change_of(killed, 0);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGKILL);
  for (int i = 0; i < 4; i++) {
    if (all[i] == killed) continue;
    CHECK_SYS(kill(all[i], SIGCONT));
    CHECK(WIFCONTINUED(change_of(all[i], WCONTINUED)));
    finish_child(all[i]);
  }
  return workload_ok();
}
