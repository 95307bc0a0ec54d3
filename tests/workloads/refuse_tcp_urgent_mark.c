// An urgent byte of a TCP connection that was read, in the middle of what was not.
// refused: urgent data
#include "workload_sockets.h"

int main(void) {
  struct pair pair = connect_tcp(AF_INET);
  write_all(pair.client, "before", 6);
  CHECK_EQ(send(pair.client, "!", 1, MSG_OOB), 1);
  write_all(pair.client, "behind", 6);
  char byte = 0;
  while (recv(pair.server, &byte, 1, MSG_OOB) != 1) sched_yield();
  CHECK_EQ(byte, '!');

  workload_ready();

  expect_text(pair.server, "before");
  CHECK_EQ(sockatmark(pair.server), 1);
  expect_text(pair.server, "behind");
  check_conversation(pair);
  return workload_ok();
}
