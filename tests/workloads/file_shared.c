// One open file description with several descriptors, by dup and by fork across three processes:
// one offset and one set of status flags. Descriptors opened apart have their own.
#include "workload.h"

static int shared;
static int copy;
static int apart;

static void grandchild(void* argument) {
  (void)argument;
  wait_for_go();
  expect_text(shared, "DEF");
}

static void child(void* argument) {
  (void)argument;
  pid_t next = spawn(grandchild, NULL);
  await_waiting_child(next);
  wait_for_go();
  expect_text(copy, "C");
  finish_child(next);
  expect_text(apart, "abc");
  CHECK(fcntl(shared, F_GETFL) & O_APPEND);
}

int main(void) {
  shared = make_file("data", "ABCDEFGHIJKL");
  copy = CHECK_SYS(dup2(shared, 77));
  close(make_file("apart", "abcdef"));
  apart = CHECK_SYS(open("apart", O_RDONLY));
  pid_t first = spawn(child, NULL);
  int own = CHECK_SYS(open("data", O_RDONLY));
  close(apart);  // which only the child has now
  await_waiting_child(first);
  CHECK_SYS(fcntl(copy, F_SETFD, FD_CLOEXEC));

  workload_ready();

  expect_text(shared, "AB");
  CHECK_SYS(fcntl(copy, F_SETFL, O_APPEND));
  finish_child(first);
  expect_text(copy, "GHI");
  expect_text(shared, "JKL");
  expect_text(own, "ABCDEF");
  CHECK_EQ(fcntl(own, F_GETFL) & O_APPEND, 0);
  CHECK_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(shared, F_GETFD), 0);
  CHECK_EQ(syscall(SYS_kcmp, getpid(), getpid(), 0, shared, copy), 0);
  CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0, shared, own) != 0);
  return workload_ok();
}
