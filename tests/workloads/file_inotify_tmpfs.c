// inotify on files of a tmpfs, which are made anew where the program goes on: no watch sees that.
// modes: container
#include <sys/inotify.h>
#include <sys/ioctl.h>

#include "workload.h"

static int watcher;

// The buffer has room for one event with a short name.
static void expect(int number, uint32_t mask, const char* name) {
  _Alignas(struct inotify_event) char buffer[sizeof(struct inotify_event) + 16];
  CHECK_RANGE(CHECK_SYS(read(watcher, buffer, sizeof buffer)), sizeof(struct inotify_event),
              sizeof buffer);
  const struct inotify_event* event = (const struct inotify_event*)buffer;
  CHECK_EQ(event->wd, number);
  CHECK_EQ(event->mask, mask);
  CHECK_STR(event->len > 0 ? event->name : "", name);
}

int main(void) {
  const char* directory = make_tmpfs_directory();
  char path[64], added[64];
  snprintf(path, sizeof path, "%s/file", directory);
  snprintf(added, sizeof added, "%s/new", directory);
  int fd = make_file(path, "content");
  watcher = CHECK_SYS(inotify_init1(IN_CLOEXEC));
  uint32_t mask = IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVE | IN_CLOSE_WRITE;
  int whole = CHECK_SYS(inotify_add_watch(watcher, directory, mask));
  int file = CHECK_SYS(inotify_add_watch(watcher, path, mask));

  workload_ready();

  int waiting = -1;
  CHECK_SYS(ioctl(watcher, FIONREAD, &waiting));
  CHECK_EQ(waiting, 0);
  write_all(fd, "x", 1);
  expect(whole, IN_MODIFY, "file");
  expect(file, IN_MODIFY, "");
  close(fd);
  expect(whole, IN_CLOSE_WRITE, "file");
  expect(file, IN_CLOSE_WRITE, "");
  close(make_file(added, ""));
  expect(whole, IN_CREATE, "new");
  expect(whole, IN_CLOSE_WRITE, "new");

  CHECK_SYS(unlink(added));
  CHECK_SYS(unlink(path));
  CHECK_SYS(rmdir(directory));
  return workload_ok();
}
