// FIFOs: one opened at one end only, one whose last writer has gone, one that a process has open
// for both, and one that was removed.
#include <poll.h>

#include "workload.h"

static short events_of(int fd) {
  struct pollfd wait = {fd, POLLIN | POLLOUT, 0};
  CHECK_SYS(poll(&wait, 1, 0));
  return wait.revents;
}

int main(void) {
  CHECK_SYS(mkfifo("lonely", 0600));
  CHECK_SYS(mkfifo("left", 0600));
  CHECK_SYS(mkfifo("both", 0600));
  CHECK_SYS(mkfifo("removed", 0600));
  int lonely = CHECK_SYS(open("lonely", O_RDONLY | O_NONBLOCK));
  int left = CHECK_SYS(open("left", O_RDONLY | O_NONBLOCK));
  int writer = CHECK_SYS(open("left", O_WRONLY));
  write_all(writer, "last words", 10);
  close(writer);
  int both = CHECK_SYS(open("both", O_RDWR));
  write_all(both, "to myself", 9);
  int removed = CHECK_SYS(open("removed", O_RDWR | O_NONBLOCK));
  write_all(removed, "gone", 4);
  CHECK_SYS(unlink("removed"));

  workload_ready();

  char text[16] = {0};
  CHECK_EQ(read(lonely, text, sizeof text), 0);
  writer = CHECK_SYS(open("lonely", O_WRONLY | O_NONBLOCK));
  write_all(writer, "hello", 5);
  expect_text(lonely, "hello");
  CHECK((events_of(left) & POLLHUP) != 0);
  CHECK_EQ(read(left, text, sizeof text), 10);
  CHECK_EQ(read(left, text, sizeof text), 0);
  expect_text(both, "to myself");
  int other = CHECK_SYS(open("both", O_WRONLY | O_NONBLOCK));
  write_all(other, "by name", 7);
  expect_text(both, "by name");
  expect_text(removed, "gone");
  CHECK_ERRNO(read(removed, text, sizeof text), EAGAIN);
  CHECK_ERRNO(access("removed", F_OK), ENOENT);
  return workload_ok();
}
