// What programs with PID namespaces of their own share. A process in one of them has a number that
// /proc does not know it by, so it tells through a pipe that it is there.
#pragma once

#include "workload_namespaces.h"

// Where those that are ready leave a mark each.
struct ready {
  int ends[2];
};

static inline struct ready open_ready(void) {
  struct ready ready;
  CHECK_SYS(pipe(ready.ends));
  return ready;
}
static inline void tell_ready(const struct ready* ready) {
  write_all(ready->ends[1], "r", 1);
}
static inline void await_ready(const struct ready* ready, int count) {
  char mark;
  for (int i = 0; i < count; i++) read_all(ready->ends[0], &mark, 1);
}

// All that names a process, as it sees it itself.
struct names {
  pid_t pid, parent, thread, group, session;
};

static inline struct names own_names(void) {
  return (struct names){getpid(), getppid(), gettid(), getpgrp(), getsid(0)};
}

static inline void check_names(const struct names* want) {
  const struct names now = own_names();
  CHECK_EQ(now.pid, want->pid);
  CHECK_EQ(now.parent, want->parent);
  CHECK_EQ(now.thread, want->thread);
  CHECK_EQ(now.group, want->group);
  CHECK_EQ(now.session, want->session);
}

// Waits for SIGUSR1 and is the same as before.
static inline void stay_named(const struct ready* ready) {
  const struct names before = own_names();
  tell_ready(ready);
  wait_for_go();
  check_names(&before);
}

// Makes a PID namespace with a first process in it.
static inline pid_t spawn_first(void (*body)(void*), void* argument) {
  CHECK_SYS(unshare(CLONE_NEWPID));
  return spawn(body, argument);
}
