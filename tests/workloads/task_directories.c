// Working directory, root directory and umask, different in two processes.
#include "workload.h"

static void expect_mode(const char* path, mode_t mode) {
  int fd = CHECK_SYS(open(path, O_CREAT | O_EXCL | O_WRONLY, 0777));
  struct stat status;
  CHECK_SYS(fstat(fd, &status));
  CHECK_EQ(status.st_mode & 0777, mode);
  close(fd);
}

static void confined(void* argument) {
  (void)argument;
  CHECK_SYS(mkdir("new-root", 0755));
  CHECK_SYS(mkdir("new-root/inside", 0755));
  CHECK_SYS(chroot("new-root"));
  CHECK_SYS(chdir("/inside"));
  umask(0027);
  wait_for_go();
  char path[256];
  CHECK(getcwd(path, sizeof path) != NULL);
  CHECK_STR(path, "/inside");
  CHECK_SYS(access("/inside", F_OK));
  CHECK_ERRNO(access("/usr", F_OK), ENOENT);
  CHECK_SYS(chdir("../../../.."));
  CHECK_SYS(access("inside", F_OK));
  expect_mode("confined-file", 0750);
}

int main(void) {
  // The child needs /proc for nothing, so the parent may look at it from outside.
  pid_t child = spawn(confined, NULL);
  await_waiting_child(child);
  char was[512];
  char now[512];
  CHECK_SYS(mkdir("sub", 0755));
  CHECK_SYS(chdir("sub"));
  CHECK(getcwd(was, sizeof was) != NULL);
  umask(0077);

  workload_ready();

  CHECK(getcwd(now, sizeof now) != NULL);
  CHECK_STR(now, was);
  expect_mode("private-file", 0700);
  CHECK_EQ(umask(0), 0077);
  finish_child(child);
  CHECK_SYS(access("../new-root/confined-file", F_OK));
  return workload_ok();
}
