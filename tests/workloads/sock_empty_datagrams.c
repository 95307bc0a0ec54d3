// Empty datagrams in a queue. The kernel shows them only to the first who looks without taking
// them, so a second capture of the same queue misses them.
//
// captures: once
#include "workload_sockets.h"

static void expect_packet(int fd, const char* text) {
  char packet[64] = {0};
  CHECK_EQ(CHECK_SYS(recv(fd, packet, sizeof packet, MSG_DONTWAIT)), strlen(text));
  CHECK_STR(packet, text);
}

static void fill(int fd) {
  CHECK_EQ(send(fd, "one", 3, 0), 3);
  CHECK_EQ(send(fd, "", 0, 0), 0);
  CHECK_EQ(send(fd, "three", 5, 0), 5);
}

int main(void) {
  struct pair unix_datagrams = unix_pair(SOCK_DGRAM);
  struct pair unix_packets = unix_pair(SOCK_SEQPACKET);
  struct pair udp = {.server = bind_loopback(AF_INET, SOCK_DGRAM)};
  udp.client = connect_to(local_address(udp.server), SOCK_DGRAM);
  struct pair pairs[] = {unix_datagrams, unix_packets, udp};
  for (int i = 0; i < 3; i++) fill(pairs[i].client);

  workload_ready();

  static const char* const kNames[] = {"Unix datagrams", "Unix packets", "UDP"};
  for (int i = 0; i < 3; i++) {
    workload_context(kNames[i]);
    expect_packet(pairs[i].server, "one");
    expect_packet(pairs[i].server, "");
    expect_packet(pairs[i].server, "three");
  }
  return workload_ok();
}
