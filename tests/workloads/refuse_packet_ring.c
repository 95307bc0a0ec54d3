// A packet socket whose frames lie in memory that the program maps.
// refused: ring
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "workload_sockets.h"

int main(void) {
  int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  if (fd < 0) workload_skip("packet sockets are not allowed");
  struct tpacket_req ring = {
      .tp_block_size = 4096, .tp_block_nr = 4, .tp_frame_size = 2048, .tp_frame_nr = 8};
  CHECK_SYS(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring));

  workload_ready();

  struct tpacket_hdr* frame = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(frame != MAP_FAILED);
  int udp = bind_loopback(AF_INET, SOCK_DGRAM);
  struct address to = local_address(udp);
  CHECK_EQ(sendto(udp, "x", 1, 0, &to.any, to.size), 1);
  volatile unsigned long* status = &frame->tp_status;
  while (!(*status & TP_STATUS_USER)) sched_yield();
  return workload_ok();
}
