// Children in cgroup namespaces of their own: one that has made it in a cgroup below the
// container's, its child that lives with it, and one that has gone elsewhere since.
// modes: container
// rights: CAP_SYS_ADMIN
#include <sched.h>

#include "workload.h"

#define CGROUP2 "/cgroup2"

static void put_number(const char* path, long number) {
  char text[32];
  snprintf(text, sizeof text, "%ld", number);
  int fd = CHECK_SYS(open(path, O_WRONLY));
  write_all(fd, text, strlen(text));
  CHECK_SYS(close(fd));
}

// The place in cgroup v2, as the reader's namespace shows it.
static void expect_place(pid_t process, const char* want) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/cgroup", process);
  const char* line = strstr(read_small_file(path), "0::");
  CHECK(line != NULL);
  char place[256];
  snprintf(place, sizeof place, "%s", line + strlen("0::"));
  place[strcspn(place, "\n")] = 0;
  CHECK_STR(place, want);
}

static void inner_body(void* argument) {
  (void)argument;
  wait_for_go();
  expect_place(getpid(), "/");
  expect_place(getppid(), "/");
  expect_place(1, "/../..");
}

static void outer_body(void* argument) {
  (void)argument;
  put_number(CGROUP2 "/a/b/cgroup.procs", getpid());
  CHECK_SYS(unshare(CLONE_NEWCGROUP));
  pid_t inner = spawn(inner_body, NULL);
  await_waiting_child(inner);
  wait_for_go();
  expect_place(getpid(), "/");
  expect_place(1, "/../..");
  finish_child(inner);
  put_number(CGROUP2 "/cgroup.procs", getpid());
  expect_place(getpid(), "/../..");
}

static void below_body(void* argument) {
  (void)argument;
  put_number(CGROUP2 "/a/cgroup.procs", getpid());
  CHECK_SYS(unshare(CLONE_NEWCGROUP));
  put_number(CGROUP2 "/a/c/cgroup.procs", getpid());
  wait_for_go();
  expect_place(getpid(), "/c");
  expect_place(1, "/..");
}

static void alike_body(void* argument) {
  (void)argument;
  CHECK_SYS(unshare(CLONE_NEWCGROUP));
  wait_for_go();
  struct stat own, of_root;
  CHECK_SYS(stat("/proc/self/ns/cgroup", &own));
  CHECK_SYS(stat("/proc/1/ns/cgroup", &of_root));
  CHECK(own.st_ino != of_root.st_ino);
  expect_place(getpid(), "/");
}

int main(void) {
  if (access(CGROUP2 "/cgroup.procs", F_OK) != 0) workload_skip("no cgroup v2 to write to");
  CHECK_SYS(mkdir(CGROUP2 "/a", 0755));
  CHECK_SYS(mkdir(CGROUP2 "/a/b", 0755));
  CHECK_SYS(mkdir(CGROUP2 "/a/c", 0755));
  pid_t outer = spawn(outer_body, NULL);
  await_waiting_child(outer);
  pid_t below = spawn(below_body, NULL);
  await_waiting_child(below);
  pid_t alike = spawn(alike_body, NULL);
  await_waiting_child(alike);

  workload_ready();

  expect_place(outer, "/a/b");
  expect_place(below, "/a/c");
  expect_place(getpid(), "/");
  finish_child(outer);
  finish_child(below);
  finish_child(alike);
  CHECK_SYS(rmdir(CGROUP2 "/a/c"));
  CHECK_SYS(rmdir(CGROUP2 "/a/b"));
  CHECK_SYS(rmdir(CGROUP2 "/a"));
  return workload_ok();
}
