// Pipes: contents, capacity, non-blocking ends, packets, ends that are closed.
#include "workload.h"

static void make_pipe(int ends[2], int flags, const char* content) {
  CHECK_SYS(pipe2(ends, flags));
  write_all(ends[1], content, strlen(content));
}

int main(void) {
  int plain[2];
  int empty[2];
  int large[2];
  int packets[2];
  int no_reader[2];
  int no_writer[2];
  make_pipe(plain, 0, "some content");
  make_pipe(empty, O_NONBLOCK | O_CLOEXEC, "");
  make_pipe(large, 0, "");
  CHECK_EQ(CHECK_SYS(fcntl(large[1], F_SETPIPE_SZ, 512 << 10)), 512 << 10);
  static char block[300 << 10];
  fill_pattern(block, sizeof block, 1);
  write_all(large[1], block, sizeof block);
  make_pipe(packets, O_DIRECT, "one");
  write_all(packets[1], "second", 6);
  make_pipe(no_reader, 0, "lost");
  close(no_reader[0]);
  make_pipe(no_writer, 0, "last");
  close(no_writer[1]);
  signal(SIGPIPE, SIG_IGN);

  workload_ready();

  expect_text(plain[0], "some content");
  write_all(plain[1], "more", 4);
  expect_text(plain[0], "more");
  char byte;
  CHECK_ERRNO(read(empty[0], &byte, 1), EAGAIN);
  CHECK_EQ(fcntl(empty[1], F_GETFL), O_WRONLY | O_NONBLOCK);
  CHECK_EQ(fcntl(empty[1], F_GETFD), FD_CLOEXEC);
  ssize_t count = 0;
  for (ssize_t more; (more = write(empty[1], block, 4096)) > 0;) count += more;
  CHECK_EQ(errno, EAGAIN);
  CHECK_EQ(count, 64 << 10);
  CHECK_EQ(fcntl(large[0], F_GETPIPE_SZ), 512 << 10);
  memset(block, 0, sizeof block);
  read_all(large[0], block, sizeof block);
  check_pattern(block, sizeof block, 1);
  char packet[16];
  CHECK_EQ(read(packets[0], packet, sizeof packet), 3);
  CHECK_EQ(read(packets[0], packet, sizeof packet), 6);
  CHECK_EQ(memcmp(packet, "second", 6), 0);
  CHECK_ERRNO(write(no_reader[1], "x", 1), EPIPE);
  expect_text(no_writer[0], "last");
  CHECK_EQ(read(no_writer[0], &byte, 1), 0);
  return workload_ok();
}
