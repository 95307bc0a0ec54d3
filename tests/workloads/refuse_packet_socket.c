// refused: packet
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include "workload_sockets.h"

int main(void) {
  int fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL));
  if (fd < 0) workload_skip("packet sockets are not allowed");
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
  address.sll_ifindex = if_nametoindex("lo");
  CHECK_SYS(bind(fd, (struct sockaddr*)&address, sizeof address));

  workload_ready();

  int udp = bind_loopback(AF_INET, SOCK_DGRAM);
  struct address to = local_address(udp);
  CHECK_EQ(sendto(udp, "x", 1, 0, &to.any, to.size), 1);
  char buffer[128];
  CHECK_EQ(CHECK_SYS(recv(fd, buffer, sizeof buffer, 0)), 20 + 8 + 1);
  return workload_ok();
}
