// An event of inotify that was not read yet.
// refused: inotify
#include <sys/inotify.h>

#include "workload.h"

int main(void) {
  int fd = CHECK_SYS(inotify_init1(IN_CLOEXEC));
  CHECK_SYS(inotify_add_watch(fd, ".", IN_CREATE));
  close(make_file("new", ""));

  workload_ready();

  char buffer[512];
  CHECK_RANGE(CHECK_SYS(read(fd, buffer, sizeof buffer)), sizeof(struct inotify_event), 512);
  CHECK_STR(((struct inotify_event*)buffer)->name, "new");
  return workload_ok();
}
