// The root of the tree is a process whose main thread has ended while another goes on.
// modes: pid
#include "workload.h"

static void* work(void* argument) {
  (void)argument;
  pid_t self = gettid();
  pid_t group = getpgrp();
  int file = make_file("kept", "kept");
  CHECK(self != getpid());
  await_state(getpid(), 'Z');

  workload_ready();

  CHECK_EQ(gettid(), self);
  CHECK_EQ(getpgrp(), group);
  CHECK_EQ(task_state(getpid()), 'Z');
  expect_text(file, "kept");
  exit(workload_ok());
}

int main(void) {
  need_descriptors_of_threads();
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, work, NULL), 0);
  pthread_exit(NULL);
}
