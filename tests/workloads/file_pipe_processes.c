// Pipes between a parent and its children, and between two children alone: end of file comes when
// the last writer is gone, and no earlier.
#include "workload.h"

static int down[2];
static int between[2];

static void producer(void* argument) {
  (void)argument;
  close(between[0]);
  close(down[1]);
  write_all(between[1], "early ", 6);
  wait_for_go();
  char byte;
  expect_text(down[0], "go");
  CHECK_EQ(read(down[0], &byte, 1), 0);
  write_all(between[1], "late", 4);
}

static void consumer(void* argument) {
  (void)argument;
  close(between[1]);
  close(down[0]);
  close(down[1]);
  wait_for_go();
  char byte;
  expect_text(between[0], "early late");
  CHECK_EQ(read(between[0], &byte, 1), 0);
}

int main(void) {
  CHECK_SYS(pipe(down));
  CHECK_SYS(pipe(between));
  pid_t first = spawn(producer, NULL);
  pid_t second = spawn(consumer, NULL);
  close(between[0]);
  close(between[1]);
  close(down[0]);
  await_waiting_child(first);
  await_waiting_child(second);

  workload_ready();

  CHECK_SYS(kill(second, SIGUSR1));
  CHECK_SYS(kill(first, SIGUSR1));
  write_all(down[1], "go", 2);
  close(down[1]);
  reap_child(first);
  reap_child(second);
  return workload_ok();
}
