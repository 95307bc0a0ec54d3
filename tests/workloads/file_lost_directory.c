// Directories that were removed while a process is in one and has another open; and a working
// directory that was renamed.
#include <dirent.h>

#include "workload.h"

static void in_removed(void* argument) {
  (void)argument;
  CHECK_SYS(mkdir("removed", 0755));
  CHECK_SYS(chdir("removed"));
  CHECK_SYS(rmdir("../removed"));
  wait_for_go();
  char path[256];
  CHECK(getcwd(path, sizeof path) == NULL);
  CHECK_EQ(errno, ENOENT);
  CHECK_ERRNO(open("file", O_CREAT | O_WRONLY, 0600), ENOENT);
  struct stat status;
  CHECK_SYS(stat(".", &status));
  CHECK(S_ISDIR(status.st_mode));
  CHECK_EQ(status.st_mode & 07777, 0755);
}

static void in_renamed(void* argument) {
  (void)argument;
  CHECK_SYS(mkdir("old", 0755));
  CHECK_SYS(chdir("old"));
  CHECK_SYS(rename("../old", "../new"));
  wait_for_go();
  char path[256];
  CHECK(getcwd(path, sizeof path) != NULL);
  CHECK_STR(strrchr(path, '/'), "/new");
  close(make_file("file", "in the renamed directory"));
}

int main(void) {
  pid_t removed = spawn(in_removed, NULL);
  await_waiting_child(removed);
  pid_t renamed = spawn(in_renamed, NULL);
  await_waiting_child(renamed);

  workload_ready();

  finish_child(removed);
  finish_child(renamed);
  CHECK_STR(read_small_file("new/file"), "in the renamed directory");
  CHECK_ERRNO(access("removed", F_OK), ENOENT);
  return workload_ok();
}
