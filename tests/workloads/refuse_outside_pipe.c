// A pipe whose other end a process outside the tree holds.
// modes: pid
// refused: pipe
#include "workload.h"

static int to_us[2];
static int from_us[2];

// Leaves the tree: its parent ends, and it ends when the pipe does.
static void outside(void* argument) {
  (void)argument;
  close(from_us[1]);
  close(to_us[0]);
  char byte;
  while (read(from_us[0], &byte, 1) == 1) write_all(to_us[1], &byte, 1);
}

static void middle(void* argument) {
  spawn(outside, argument);
}

int main(void) {
  CHECK_SYS(pipe(to_us));
  CHECK_SYS(pipe(from_us));
  reap_child(spawn(middle, NULL));
  close(from_us[0]);
  close(to_us[1]);
  write_all(from_us[1], "x", 1);
  expect_text(to_us[0], "x");

  workload_ready();

  write_all(from_us[1], "y", 1);
  expect_text(to_us[0], "y");
  return workload_ok();
}
