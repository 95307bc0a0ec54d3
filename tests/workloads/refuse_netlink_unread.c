// A message of netlink that was not read yet.
// refused: netlink
#include <linux/netlink.h>

#include "workload_sockets.h"

int main(void) {
  int fd = CHECK_SYS(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK));
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_pid = 77};
  CHECK_SYS(bind(fd, (struct sockaddr*)&address, sizeof address));
  CHECK_SYS(sendto(fd, "text", 4, 0, (struct sockaddr*)&address, sizeof address));

  workload_ready();

  char buffer[8];
  CHECK_EQ(CHECK_SYS(recv(fd, buffer, sizeof buffer, 0)), 4);
  return workload_ok();
}
