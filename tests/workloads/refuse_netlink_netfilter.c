// Netlink of a subsystem that keeps state of its own for a socket.
// refused: netlink
#include <linux/netlink.h>

#include "workload_sockets.h"

int main(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) workload_skip("the kernel has no netfilter");
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  CHECK_SYS(bind(fd, (struct sockaddr*)&address, sizeof address));

  workload_ready();

  socklen_t size = sizeof address;
  CHECK_SYS(getsockname(fd, (struct sockaddr*)&address, &size));
  CHECK(address.nl_pid != 0);
  return workload_ok();
}
