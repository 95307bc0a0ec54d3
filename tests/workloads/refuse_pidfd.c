// A pidfd of a process outside of the group: the parent of the program.
// modes: pid
// refused: outside of the group
#include <poll.h>

#include "workload.h"

int main(void) {
  if (getppid() == 0) workload_skip("no process is outside");
  int fd = CHECK_SYS(syscall(SYS_pidfd_open, getppid(), 0));

  workload_ready();

  struct pollfd entry = {fd, POLLIN, 0};
  CHECK_EQ(CHECK_SYS(poll(&entry, 1, 0)), 0);
  return workload_ok();
}
