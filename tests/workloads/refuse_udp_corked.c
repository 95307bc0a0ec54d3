// A UDP datagram of which one part is written (MSG_MORE), and the rest not yet.
// refused: not sent yet
#include "workload_sockets.h"

int main(void) {
  int receiver = bind_loopback(AF_INET6, SOCK_DGRAM);
  int sender = connect_to(local_address(receiver), SOCK_DGRAM);
  CHECK_EQ(send(sender, "one ", 4, MSG_MORE), 4);

  workload_ready();

  char text[64] = {0};
  CHECK_ERRNO(recv(receiver, text, sizeof text, MSG_DONTWAIT), EAGAIN);
  CHECK_EQ(send(sender, "datagram", 8, 0), 8);
  CHECK_EQ(CHECK_SYS(recv(receiver, text, sizeof text, 0)), 12);
  CHECK_STR(text, "one datagram");
  return workload_ok();
}
