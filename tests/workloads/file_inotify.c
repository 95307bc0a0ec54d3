// inotify: watches keep their numbers, masks and objects (a directory, files, a symbolic link, a
// renamed and a removed file), also in an epoll set and with gaps between the numbers.
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

#include "workload.h"

static int watcher;

static int watch(const char* path, uint32_t mask) {
  return CHECK_SYS(inotify_add_watch(watcher, path, mask));
}

static void expect_none(void) {
  int waiting = -1;
  CHECK_SYS(ioctl(watcher, FIONREAD, &waiting));
  CHECK_EQ(waiting, 0);
}

// Reads one event. A read returns whole events, as many as fit.
static void expect(int number, uint32_t mask, const char* name) {
  static _Alignas(struct inotify_event) char buffer[4096];
  static ssize_t size, at;
  if (at == size) {
    size = CHECK_SYS(read(watcher, buffer, sizeof buffer));
    at = 0;
  }
  const struct inotify_event* event = (const struct inotify_event*)(buffer + at);
  at += sizeof *event + event->len;
  CHECK_EQ(event->wd, number);
  CHECK_EQ(event->mask, mask);
  CHECK_STR(event->len > 0 ? event->name : "", name);
}

static void append(const char* path) {
  int fd = CHECK_SYS(open(path, O_WRONLY | O_APPEND));
  write_all(fd, "x", 1);
  close(fd);
}

static void skip_numbers(int count) {
  for (int i = 0; i < count; i++) {
    int number = watch("skipped", IN_OPEN);
    CHECK_SYS(inotify_rm_watch(watcher, number));
    expect(number, IN_IGNORED, "");
  }
}

int main(void) {
  watcher = CHECK_SYS(inotify_init1(IN_CLOEXEC));
  int poller = CHECK_SYS(epoll_create1(EPOLL_CLOEXEC));
  struct epoll_event entry = {.events = EPOLLIN | EPOLLET, .data.u64 = 7};
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_ADD, watcher, &entry));
  close(make_file("file", "content"));
  close(make_file("skipped", ""));
  close(make_file("once", ""));
  close(make_file("before", ""));
  CHECK_SYS(mkdir("directory", 0700));
  CHECK_SYS(symlink("file", "link"));
  int removed_fd = make_file("removed", "kept");

  int file = watch("file", IN_MODIFY);
  skip_numbers(5);
  int directory = watch("directory", IN_CREATE | IN_DELETE | IN_MOVE | IN_EXCL_UNLINK | IN_ONLYDIR);
  int link = watch("link", IN_ATTRIB | IN_DELETE_SELF | IN_DONT_FOLLOW);
  int renamed = watch("before", IN_ALL_EVENTS);
  skip_numbers(2000);
  int removed = watch("removed", IN_MODIFY | IN_DELETE_SELF);
  int once = watch("once", IN_MODIFY | IN_ONESHOT);
  CHECK_SYS(rename("before", "directory/after"));
  expect(directory, IN_MOVED_TO, "after");
  expect(renamed, IN_MOVE_SELF, "");
  CHECK_SYS(unlink("removed"));
  CHECK_RANGE(CHECK_SYS(epoll_wait(poller, &entry, 1, 0)), 0, 1);

  workload_ready();

  expect_none();
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, &entry, 1, 0)), 0);
  close(CHECK_SYS(open("file", O_RDONLY)));  // is not watched for this
  expect_none();
  append("file");
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, &entry, 1, 0)), 1);
  CHECK_EQ(entry.data.u64, 7);
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, &entry, 1, 0)), 0);  // an edge is told once
  expect(file, IN_MODIFY, "");

  close(make_file("directory/new", ""));
  CHECK_SYS(mkdir("directory/inner", 0700));
  CHECK_SYS(unlink("directory/new"));
  expect(directory, IN_CREATE, "new");
  expect(directory, IN_CREATE | IN_ISDIR, "inner");
  expect(directory, IN_DELETE, "new");
  append("directory/after");
  expect(renamed, IN_OPEN, "");
  expect(renamed, IN_MODIFY, "");
  expect(renamed, IN_CLOSE_WRITE, "");

  append("once");
  append("once");
  expect(once, IN_MODIFY, "");
  expect(once, IN_IGNORED, "");
  write_all(removed_fd, "x", 1);
  expect(removed, IN_MODIFY, "");
  close(removed_fd);
  expect(removed, IN_DELETE_SELF, "");
  expect(removed, IN_IGNORED, "");

  CHECK_EQ(watch("file", IN_CLOSE_WRITE), file);
  CHECK_ERRNO(inotify_add_watch(watcher, "file", IN_OPEN | IN_MASK_CREATE), EEXIST);
  append("file");
  expect(file, IN_CLOSE_WRITE, "");
  CHECK_SYS(unlink("link"));
  expect(link, IN_ATTRIB, "");
  expect(link, IN_DELETE_SELF, "");
  expect(link, IN_IGNORED, "");
  CHECK_SYS(inotify_rm_watch(watcher, directory));
  expect(directory, IN_IGNORED, "");
  CHECK_RANGE(watch("skipped", IN_OPEN), once + 1, once + 1);
  expect_none();
  return workload_ok();
}
