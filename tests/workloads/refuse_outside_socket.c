// A Unix socket whose peer a process outside the tree holds.
// modes: pid
// refused: unix
#include "workload_sockets.h"

static struct pair pair;

// Leaves the tree: its parent ends, and it ends when its peer does.
static void outside(void* argument) {
  (void)argument;
  close(pair.client);
  char byte;
  while (read(pair.server, &byte, 1) == 1) write_all(pair.server, &byte, 1);
}

static void middle(void* argument) {
  spawn(outside, argument);
}

int main(void) {
  pair = unix_pair(SOCK_STREAM);
  reap_child(spawn(middle, NULL));
  close(pair.server);
  write_all(pair.client, "x", 1);
  expect_text(pair.client, "x");

  workload_ready();

  write_all(pair.client, "y", 1);
  expect_text(pair.client, "y");
  return workload_ok();
}
