// A packet of a raw socket of which one part is written (MSG_MORE), and the rest not yet.
// refused: not sent yet
#include "workload_sockets.h"

enum { kProtocol = 253 };

int main(void) {
  int receiver = socket(AF_INET6, SOCK_RAW, kProtocol);
  int sender = socket(AF_INET6, SOCK_RAW, kProtocol);
  if (receiver < 0 || sender < 0) workload_skip("raw sockets are not allowed");
  struct address to = loopback(AF_INET6, 0);
  CHECK_SYS(connect(sender, &to.any, to.size));
  CHECK_EQ(send(sender, "one ", 4, MSG_MORE), 4);

  workload_ready();

  char text[64] = {0};
  CHECK_ERRNO(recv(receiver, text, sizeof text, MSG_DONTWAIT), EAGAIN);
  CHECK_EQ(send(sender, "packet", 6, 0), 6);
  CHECK_EQ(CHECK_SYS(recv(receiver, text, sizeof text, 0)), 10);
  CHECK_STR(text, "one packet");
  return workload_ok();
}
