// Processes that share signal handlers and memory without being threads of one process
// (CLONE_SIGHAND): what one of them sets is so for all, and each gets its own signals.
#include "workload_sharers.h"

static volatile pid_t handled_by;
static volatile int handled_signal;

static void handle(int signal) {
  handled_by = (pid_t)syscall(SYS_gettid);
  handled_signal = signal;
}

static void set_action(int signal, void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler};
  CHECK_SYS(sigaction(signal, &action, NULL));
}

static void expect_action(int signal, void (*handler)(int)) {
  struct sigaction action;
  CHECK_SYS(sigaction(signal, NULL, &action));
  CHECK(action.sa_handler == handler);
}

// SIGUSR2 was sent to it alone and waits until now; SIGURG is handled since then.
static void has_them_in_common(void* argument) {
  (void)argument;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK_SYS(pthread_sigmask(SIG_BLOCK, &set, NULL));
  CHECK_SYS(kill(getpid(), SIGUSR2));
  wait_for_go();
  expect_action(SIGHUP, handle);
  expect_action(SIGURG, handle);
  CHECK_SYS(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
  CHECK_EQ(handled_by, getpid());
  CHECK_EQ(handled_signal, SIGUSR2);
  set_action(SIGHUP, SIG_IGN);
}

// Its handlers are what its parent's were when it was born.
static void has_its_own(void* argument) {
  (void)argument;
  set_action(SIGHUP, SIG_IGN);
  wait_for_go();
  expect_action(SIGHUP, SIG_IGN);
  expect_action(SIGUSR2, handle);
  expect_action(SIGURG, SIG_DFL);
}

int main(void) {
  set_action(SIGUSR2, handle);
  struct sharer* apart = start_sharer(0, has_its_own, NULL);
  await_waiting_child(apart->pid);
  struct sharer* first = start_sharer(CLONE_SIGHAND, has_them_in_common, NULL);
  await_waiting_child(first->pid);
  struct sharer* second = start_sharer(CLONE_SIGHAND | CLONE_FILES, has_them_in_common, NULL);
  await_waiting_child(second->pid);
  set_action(SIGHUP, handle);
  set_action(SIGURG, handle);

  workload_ready();

  CHECK(has_same(KCMP_SIGHAND, getpid(), first->pid));
  CHECK(has_same(KCMP_SIGHAND, getpid(), second->pid));
  CHECK(!has_same(KCMP_SIGHAND, getpid(), apart->pid));
  CHECK(has_same(KCMP_VM, getpid(), apart->pid));
  finish_sharer(first);
  expect_action(SIGHUP, SIG_IGN);
  CHECK_SYS(kill(getpid(), SIGHUP));
  set_action(SIGHUP, handle);
  finish_sharer(second);
  finish_sharer(apart);
  expect_action(SIGHUP, SIG_IGN);
  expect_action(SIGURG, handle);
  return workload_ok();
}
