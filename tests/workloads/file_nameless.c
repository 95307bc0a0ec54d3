// Files that were made without a name (O_TMPFILE) and get one afterwards; a file whose first name
// was removed and that another directory still names; a removed file that keeps a second open.
#include "workload.h"

static void expect_file(const char* path, const char* text) {
  CHECK_STR(read_small_file(path), text);
}

static void give_name(int fd, const char* name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  CHECK_SYS(linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW));
}

int main(void) {
  int nameless = open(".", O_TMPFILE | O_RDWR, 0640);
  if (nameless < 0) workload_skip("no O_TMPFILE in this file system");
  write_all(nameless, "no name yet", 11);
  CHECK_SYS(mkdir("first", 0755));
  CHECK_SYS(mkdir("second", 0755));
  int linked = make_file("first/file", "two names");
  CHECK_SYS(link("first/file", "second/other"));
  CHECK_SYS(unlink("first/file"));
  int renamed = make_file("old-name", "renamed");
  CHECK_SYS(rename("old-name", "second/new-name"));

  workload_ready();

  give_name(nameless, "named");
  expect_file("named", "no name yet");
  struct stat status;
  CHECK_SYS(stat("named", &status));
  CHECK_EQ(status.st_mode & 07777, 0640);
  CHECK_EQ(status.st_nlink, 1);
  write_all(nameless, "!", 1);
  expect_file("named", "no name yet!");
  CHECK_EQ(pwrite(linked, "TWO", 3, 0), 3);
  expect_file("second/other", "TWO names");
  CHECK_EQ(pwrite(renamed, "RE", 2, 0), 2);
  expect_file("second/new-name", "REnamed");
  return workload_ok();
}
