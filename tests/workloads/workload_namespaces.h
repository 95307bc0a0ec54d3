// What programs with namespaces of their own share.
#pragma once

#include <sched.h>

#include "workload.h"

static inline void hold_apart(void* kinds) {
  CHECK_SYS(unshare(*(int*)kinds));
  wait_for_go();
}

// A child in namespaces of its own (CLONE_NEW*), which waits for SIGUSR1.
static inline pid_t spawn_apart(int kinds) {
  pid_t child = spawn(hold_apart, &kinds);
  await_waiting_child(child);
  return child;
}

static inline void* hold_thread_apart(void* kinds) {
  hold_apart(kinds);
  return kinds;
}

// A thread in namespaces of its own, and its end. `kinds` is read by the thread.
static inline void start_apart(struct thread* thread, int* kinds) {
  start_thread(thread, hold_thread_apart, kinds);
  await_blocked(thread->tid, SYS_rt_sigtimedwait);
}
static inline void finish_apart(struct thread* thread) {
  CHECK_EQ(pthread_kill(thread->handle, SIGUSR1), 0);
  join_thread(thread);
}

// Skips the program where nobody can make the namespaces of these kinds (CLONE_NEW*).
static inline void need_namespaces(int kinds) {
  pid_t probe = CHECK_SYS(fork());
  if (probe == 0) _exit(unshare(kinds) != 0);
  int status = 0;
  CHECK_EQ(waitpid(probe, &status, 0), probe);
  if (status != 0) workload_skip("the right to make these namespaces is not there");
}
