// An urgent byte of a TCP connection that was not read yet.
// refused: urgent data
#include <poll.h>

#include "workload_sockets.h"

int main(void) {
  struct pair pair = connect_tcp(AF_INET);
  write_all(pair.client, "before", 6);
  CHECK_EQ(send(pair.client, "!", 1, MSG_OOB), 1);
  write_all(pair.client, "behind", 6);
  struct pollfd state = {.fd = pair.server, .events = POLLPRI};
  CHECK_EQ(CHECK_SYS(poll(&state, 1, -1)), 1);

  workload_ready();

  char byte = 0;
  CHECK_EQ(recv(pair.server, &byte, 1, MSG_OOB), 1);
  CHECK_EQ(byte, '!');
  expect_text(pair.server, "before");
  CHECK_EQ(sockatmark(pair.server), 1);
  expect_text(pair.server, "behind");
  check_conversation(pair);
  return workload_ok();
}
