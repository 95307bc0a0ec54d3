// What programs with namespaces of their own share.
#pragma once

#include "workload.h"

// Skips the program where nobody can make the namespaces of these kinds (CLONE_NEW*).
static inline void need_namespaces(int kinds) {
  pid_t probe = CHECK_SYS(fork());
  if (probe == 0) _exit(unshare(kinds) != 0);
  int status = 0;
  CHECK_EQ(waitpid(probe, &status, 0), probe);
  if (status != 0) workload_skip("the right to make these namespaces is not there");
}
