// Who is told of a descriptor's readiness: a thread (F_OWNER_TID), a process group, and nobody but
// with a signal chosen already.
#include "workload.h"

static struct f_owner_ex owner_of(int fd) {
  struct f_owner_ex owner;
  CHECK_SYS(fcntl(fd, F_GETOWN_EX, &owner));
  return owner;
}

static int pipe_owned_by(int type, pid_t who, int writer[1]) {
  int ends[2];
  CHECK_SYS(pipe(ends));
  struct f_owner_ex owner = {type, who};
  if (who != 0) CHECK_SYS(fcntl(ends[0], F_SETOWN_EX, &owner));
  CHECK_SYS(fcntl(ends[0], F_SETSIG, SIGRTMIN + 1));
  CHECK_SYS(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK));
  *writer = ends[1];
  return ends[0];
}

static void* take_signal(void* argument) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 1);
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(&set, &info)), SIGRTMIN + 1);
  CHECK_EQ(info.si_fd, *(int*)argument);
  return NULL;
}

int main(void) {
  setpgid(0, 0);  // a group that it sees; a session's leader has one
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 1);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &set, NULL));
  struct thread thread;
  int of_thread, of_group, of_nobody, writers[3];
  start_thread(&thread, take_signal, &of_thread);
  of_thread = pipe_owned_by(F_OWNER_TID, thread.tid, &writers[0]);
  of_group = pipe_owned_by(F_OWNER_PGRP, getpgrp(), &writers[1]);
  of_nobody = pipe_owned_by(F_OWNER_PID, 0, &writers[2]);
  await_blocked(thread.tid, SYS_rt_sigtimedwait);

  workload_ready();

  CHECK_EQ(owner_of(of_thread).type, F_OWNER_TID);
  CHECK_EQ(owner_of(of_thread).pid, thread.tid);
  CHECK_EQ(owner_of(of_group).type, F_OWNER_PGRP);
  CHECK_EQ(owner_of(of_group).pid, getpgrp());
  CHECK_EQ(owner_of(of_nobody).pid, 0);
  CHECK_EQ(fcntl(of_nobody, F_GETSIG), SIGRTMIN + 1);
  write_all(writers[2], "n", 1);
  write_all(writers[0], "t", 1);
  join_thread(&thread);
  sigset_t pending;
  CHECK_SYS(sigpending(&pending));
  CHECK_EQ(sigismember(&pending, SIGRTMIN + 1), 0);
  write_all(writers[1], "g", 1);
  take_signal(&of_group);
  return workload_ok();
}
