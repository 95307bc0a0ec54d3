// A Unix connection that waits to be accepted, of a process outside the tree.
// modes: pid
// refused: outside of the group
#include "workload_sockets.h"

static struct address address;
static struct pair told;

// Leaves the tree: its parent ends, and it ends when its peer does.
static void outside(void* unused) {
  (void)unused;
  close(told.client);
  int client = connect_to(address, SOCK_STREAM);
  write_all(client, "x", 1);
  close(told.server);
  char byte;
  while (read(client, &byte, 1) == 1) write_all(client, &byte, 1);
}

static void middle(void* unused) {
  spawn(outside, unused);
}

int main(void) {
  int listener = open_socket(AF_UNIX, SOCK_STREAM);
  address = unix_path("listener");
  CHECK_SYS(bind(listener, &address.any, address.size));
  CHECK_SYS(listen(listener, 1));
  told = unix_pair(SOCK_STREAM);
  reap_child(spawn(middle, NULL));
  close(told.server);
  char byte;
  CHECK_EQ(CHECK_SYS(read(told.client, &byte, 1)), 0);

  workload_ready();

  int accepted = CHECK_SYS(accept(listener, NULL, NULL));
  expect_text(accepted, "x");
  write_all(accepted, "y", 1);
  expect_text(accepted, "y");
  return workload_ok();
}
