// What programs with namespaces of their own share.
#pragma once

#include <sched.h>
#include <semaphore.h>

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

// Not a signal, for one that is sent to the process may be given to any thread that waits for it.
static sem_t end_of_thread_apart;

static inline void* hold_thread_apart(void* kinds) {
  CHECK_SYS(unshare(*(int*)kinds));
  while (sem_wait(&end_of_thread_apart) == -1) CHECK_EQ(errno, EINTR);
  return kinds;
}

// A thread in namespaces of its own, and its end. `kinds` is read by the thread.
static inline void start_apart(struct thread* thread, int* kinds) {
  CHECK_SYS(sem_init(&end_of_thread_apart, 0, 0));
  start_thread(thread, hold_thread_apart, kinds);
  await_blocked(thread->tid, SYS_futex);
}
static inline void finish_apart(struct thread* thread) {
  CHECK_SYS(sem_post(&end_of_thread_apart));
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
