// Empty datagrams in a queue, which the kernel shows only to the first who looks without taking
// them: of a pair, of named sockets, packets, UDP.
#include "workload_sockets.h"

static void expect_packet(int fd, const char* text) {
  char packet[64] = {0};
  CHECK_EQ(CHECK_SYS(recv(fd, packet, sizeof packet, MSG_DONTWAIT)), strlen(text));
  CHECK_STR(packet, text);
}

static int bind_unix(const char* path) {
  int fd = open_socket(AF_UNIX, SOCK_DGRAM);
  struct address address = unix_path(path);
  CHECK_SYS(bind(fd, &address.any, address.size));
  return fd;
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
  struct pair named = {.server = bind_unix("receiver"), .client = bind_unix("sender")};
  struct address receiver = local_address(named.server);
  CHECK_SYS(connect(named.client, &receiver.any, receiver.size));
  struct pair pairs[] = {unix_datagrams, unix_packets, udp, named};
  enum { kPairs = sizeof pairs / sizeof *pairs };
  for (int i = 0; i < kPairs; i++) fill(pairs[i].client);

  workload_ready();

  static const char* const kNames[] = {"Unix datagrams", "Unix packets", "UDP", "names"};
  for (int i = 0; i < kPairs; i++) {
    workload_context(kNames[i]);
    expect_packet(pairs[i].server, "one");
    expect_packet(pairs[i].server, "");
    expect_packet(pairs[i].server, "three");
    char byte;
    CHECK_ERRNO(recv(pairs[i].server, &byte, 1, MSG_DONTWAIT), EAGAIN);
  }
  workload_context("a sender's name");
  CHECK_EQ(send(named.client, "", 0, 0), 0);
  struct address from = {.size = sizeof from.storage};
  char byte;
  CHECK_EQ(recvfrom(named.server, &byte, 1, 0, &from.any, &from.size), 0);
  check_same_address(from, local_address(named.client));
  return workload_ok();
}
