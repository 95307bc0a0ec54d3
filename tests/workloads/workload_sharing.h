// What programs whose tasks share tables and directories have in common.
#pragma once

#include "workload.h"

// A child, or with CLONE_PARENT a brother, that shares what the flags say.
static inline pid_t clone_with(int flags, void (*body)(void*), void* argument) {
  int signal = (flags & CLONE_PARENT) != 0 ? 0 : SIGCHLD;
  pid_t child = CHECK_SYS(syscall(SYS_clone, flags | signal, 0, 0, 0, 0));
  if (child == 0) {
    body(argument);
    _exit(0);
  }
  return child;
}

static inline void expect_directory(const char* name) {
  char path[512];
  CHECK(getcwd(path, sizeof path) != NULL);
  CHECK_STR(strrchr(path, '/') + 1, name);
}

// Threads that wait for each other.
static inline void wait_at(pthread_barrier_t* barrier) {
  int outcome = pthread_barrier_wait(barrier);
  CHECK(outcome == 0 || outcome == PTHREAD_BARRIER_SERIAL_THREAD);
}
