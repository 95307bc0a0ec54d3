// A fanotify group with a mark. It goes on to report.
// refused: fanotify
#include <sys/fanotify.h>

#include "workload.h"

int main(void) {
  int group = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_NONBLOCK, O_RDONLY);
  if (group < 0) workload_skip("no fanotify here");
  CHECK_SYS(mkdir("watched", 0755));
  if (fanotify_mark(group, FAN_MARK_ADD, FAN_CREATE | FAN_ONDIR, AT_FDCWD, "watched") != 0)
    workload_skip("this file system cannot be watched");

  workload_ready();

  close(make_file("watched/new", ""));
  char events[4096];
  CHECK(read(group, events, sizeof events) > 0);
  return workload_ok();
}
