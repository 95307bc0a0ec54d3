// Files that are open and have no name any more: one with two descriptors opened apart, one that
// never had a name, a sparse one, and one whose name now belongs to another file.
#include "workload.h"

int main(void) {
  int first = make_file("gone", "0123456789");
  int second = CHECK_SYS(open("gone", O_RDONLY));
  CHECK_SYS(lseek(first, 3, SEEK_SET));
  CHECK_SYS(unlink("gone"));
  int nameless = open(".", O_TMPFILE | O_RDWR, 0600);
  if (nameless >= 0) write_all(nameless, "nameless", 8);
  int sparse = make_file("sparse", "");
  CHECK_EQ(pwrite(sparse, "end", 3, 3LL << 30), 3);
  CHECK_SYS(unlink("sparse"));
  int replaced = make_file("name", "old content");
  CHECK_SYS(unlink("name"));
  close(make_file("name", "new content"));

  workload_ready();

  struct stat status;
  CHECK_SYS(fstat(first, &status));
  CHECK_EQ(status.st_nlink, 0);
  CHECK_EQ(status.st_size, 10);
  expect_text(first, "3456789");
  write_all(first, "abc", 3);
  expect_text(second, "0123456789abc");  // one file behind both
  CHECK_ERRNO(access("gone", F_OK), ENOENT);
  if (nameless >= 0) {
    CHECK_EQ(lseek(nameless, 0, SEEK_CUR), 8);
    CHECK_SYS(lseek(nameless, 0, SEEK_SET));
    expect_text(nameless, "nameless");
  }
  CHECK_SYS(fstat(sparse, &status));
  CHECK_EQ(status.st_size, (3LL << 30) + 3);
  CHECK_RANGE(status.st_blocks, 0, 1024);
  expect_text(replaced, "old content");
  CHECK_STR(read_small_file("name"), "new content");
  return workload_ok();
}
