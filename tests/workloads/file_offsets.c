// Regular files: offset, access mode, status flags, append; the file itself stays where it was.
#include "workload.h"

int main(void) {
  int plain = make_file("plain", "0123456789");
  CHECK_SYS(lseek(plain, 4, SEEK_SET));
  close(make_file("reader", "abcdef"));
  int reader = CHECK_SYS(open("reader", O_RDONLY));
  CHECK_SYS(lseek(reader, 2, SEEK_SET));
  int writer = CHECK_SYS(open("writer", O_WRONLY | O_CREAT | O_SYNC, 0640));
  write_all(writer, "before ", 7);
  close(make_file("log", "first\n"));
  int log = CHECK_SYS(open("log", O_WRONLY | O_APPEND));
  write_all(log, "second\n", 7);
  int far = make_file("far", "x");
  CHECK_SYS(lseek(far, 5LL << 40, SEEK_SET));
  int flags[5];
  int fds[5] = {plain, reader, writer, log, far};
  for (int i = 0; i < 5; i++) flags[i] = CHECK_SYS(fcntl(fds[i], F_GETFL));

  workload_ready();

  for (int i = 0; i < 5; i++) CHECK_EQ(fcntl(fds[i], F_GETFL), flags[i]);
  expect_text(plain, "456789");
  write_all(plain, "+", 1);
  expect_text(reader, "cdef");
  CHECK_ERRNO(write(reader, "x", 1), EBADF);
  write_all(writer, "after", 5);
  CHECK_STR(read_small_file("writer"), "before after");
  char byte;
  CHECK_ERRNO(read(writer, &byte, 1), EBADF);
  int other = CHECK_SYS(open("log", O_WRONLY | O_APPEND));
  write_all(other, "third\n", 6);
  write_all(log, "fourth\n", 7);
  CHECK_STR(read_small_file("log"), "first\nsecond\nthird\nfourth\n");
  CHECK_STR(read_small_file("plain"), "0123456789+");
  CHECK_EQ(lseek(far, 0, SEEK_CUR), 5LL << 40);
  struct stat status;
  CHECK_SYS(fstat(writer, &status));
  CHECK_EQ(status.st_mode & 0777, 0640);
  CHECK_EQ(status.st_nlink, 1);
  return workload_ok();
}
