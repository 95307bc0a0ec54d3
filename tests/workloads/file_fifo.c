// Named pipes: with contents, opened for reading, writing and both, and reached by name afterwards.
#include "workload.h"

int main(void) {
  CHECK_SYS(mkfifo("fifo", 0640));
  int reader = CHECK_SYS(open("fifo", O_RDONLY | O_NONBLOCK));
  int writer = CHECK_SYS(open("fifo", O_WRONLY));
  write_all(writer, "queued", 6);
  CHECK_SYS(mkfifo("both", 0600));
  int both = CHECK_SYS(open("both", O_RDWR));
  write_all(both, "echo", 4);
  CHECK_SYS(mkfifo("deleted", 0600));
  int deleted = CHECK_SYS(open("deleted", O_RDWR));
  CHECK_SYS(unlink("deleted"));
  write_all(deleted, "kept", 4);

  workload_ready();

  expect_text(reader, "queued");
  char byte;
  CHECK_ERRNO(read(reader, &byte, 1), EAGAIN);
  int another = CHECK_SYS(open("fifo", O_WRONLY | O_NONBLOCK));
  write_all(another, "new", 3);
  expect_text(reader, "new");
  close(writer);
  CHECK_ERRNO(read(reader, &byte, 1), EAGAIN);
  close(another);
  CHECK_EQ(read(reader, &byte, 1), 0);
  expect_text(both, "echo");
  expect_text(deleted, "kept");
  write_all(deleted, "on", 2);
  expect_text(deleted, "on");
  struct stat status;
  CHECK_SYS(stat("fifo", &status));
  CHECK(S_ISFIFO(status.st_mode));
  CHECK_EQ(status.st_mode & 0777, 0640);
  return workload_ok();
}
