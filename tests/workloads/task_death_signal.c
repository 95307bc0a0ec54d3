// The parent death signal, the child subreaper flag, and a child with another exit signal.
#include <sys/prctl.h>

#include "workload.h"

static sigset_t one_signal(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  return set;
}

static void mourner(void* argument) {
  (void)argument;
  sigset_t set = one_signal(SIGHUP);
  sigprocmask(SIG_BLOCK, &set, NULL);
  CHECK_SYS(prctl(PR_SET_PDEATHSIG, SIGHUP));
  wait_for_go();
  int signal_number = 0;
  CHECK_SYS(prctl(PR_GET_PDEATHSIG, &signal_number));
  CHECK_EQ(signal_number, SIGHUP);
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, &info)), SIGHUP);
}

static int report_pipe[2];

static void parent(void* argument) {
  (void)argument;
  pid_t child = spawn(mourner, NULL);
  await_waiting_child(child);
  write_all(report_pipe[1], &child, sizeof child);
  wait_for_go();
  CHECK_SYS(kill(child, SIGUSR1));
}

int main(void) {
  CHECK_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  CHECK_SYS(pipe(report_pipe));
  sigset_t set = one_signal(SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, NULL);
  pid_t middle = spawn(parent, NULL);
  pid_t child;
  read_all(report_pipe[0], &child, sizeof child);
  await_waiting_child(middle);
  // A child that reports its end with SIGUSR2 is waited for with __WCLONE.
  pid_t clone = CHECK_SYS(syscall(SYS_clone, SIGUSR2, NULL, NULL, NULL, 0));
  if (clone == 0) {
    wait_for_go();
    _exit(5);
  }
  await_waiting_child(clone);

  workload_ready();

  int subreaper = 0;
  CHECK_SYS(prctl(PR_GET_CHILD_SUBREAPER, &subreaper));
  CHECK_EQ(subreaper, 1);
  finish_child(middle);
  reap_child(child);
  CHECK_SYS(kill(clone, SIGUSR1));
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, &info)), SIGUSR2);
  CHECK_EQ(info.si_pid, clone);
  int status;
  CHECK_EQ(CHECK_SYS(waitpid(clone, &status, __WCLONE)), clone);
  CHECK_EQ(WEXITSTATUS(status), 5);
  return workload_ok();
}
