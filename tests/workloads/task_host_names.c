// Children with host names of their own: one that has made them with threads, its child that lives
// with it, and one that has gone back to those of the root.
// rights: CAP_SYS_ADMIN
#include <sched.h>
#include <sys/utsname.h>

#include "workload.h"

static struct utsname before;  // of the root

static void expect_names(const char* host, const char* domain) {
  struct utsname names;
  CHECK_SYS(uname(&names));
  CHECK_STR(names.nodename, host);
  CHECK_STR(names.domainname, domain);
}

static void* look(void* argument) {
  char go;
  read_all(*(int*)argument, &go, 1);
  expect_names("elsewhere", "example");
  return argument;
}

static void inner_body(void* argument) {
  (void)argument;
  wait_for_go();
  expect_names("elsewhere", "example");
  CHECK_SYS(sethostname("changed", 7));
}

static void outer_body(void* argument) {
  (void)argument;
  if (unshare(CLONE_NEWUTS) != 0) workload_skip("no right to make UTS namespaces");
  CHECK_SYS(sethostname("elsewhere", 9));
  CHECK_SYS(setdomainname("example", 7));
  int ends[2];
  CHECK_SYS(pipe(ends));
  struct thread thread;
  start_thread(&thread, look, &ends[0]);
  await_blocked(thread.tid, SYS_read);
  pid_t inner = spawn(inner_body, NULL);
  await_waiting_child(inner);
  wait_for_go();
  expect_names("elsewhere", "example");
  write_all(ends[1], "g", 1);
  join_thread(&thread);
  finish_child(inner);
  expect_names("changed", "example");
}

static void back_body(void* argument) {
  (void)argument;
  int own = CHECK_SYS(open("/proc/self/ns/uts", O_RDONLY));
  CHECK_SYS(unshare(CLONE_NEWUTS));
  CHECK_SYS(setns(own, CLONE_NEWUTS));
  CHECK_SYS(close(own));
  wait_for_go();
  expect_names(before.nodename, before.domainname);
}

int main(void) {
  CHECK_SYS(uname(&before));
  pid_t outer = spawn(outer_body, NULL);
  await_waiting_child(outer);
  pid_t back = spawn(back_body, NULL);
  await_waiting_child(back);

  workload_ready();

  expect_names(before.nodename, before.domainname);
  finish_child(outer);
  finish_child(back);
  expect_names(before.nodename, before.domainname);
  return workload_ok();
}
