// Unix datagram and sequenced-packet pairs: boundaries of queued messages.
#include "workload_sockets.h"

static void expect_packet(int fd, const char* text) {
  char packet[64] = {0};
  CHECK_EQ(CHECK_SYS(recv(fd, packet, sizeof packet, MSG_DONTWAIT)), strlen(text));
  CHECK_STR(packet, text);
}

int main(void) {
  static const int kTypes[] = {SOCK_DGRAM, SOCK_SEQPACKET};
  struct pair pairs[2];
  for (int i = 0; i < 2; i++) {
    pairs[i] = unix_pair(kTypes[i]);
    write_all(pairs[i].client, "one", 3);
    write_all(pairs[i].client, "three", 5);
    write_all(pairs[i].server, "back", 4);
  }
  struct pair ended = unix_pair(SOCK_SEQPACKET);
  write_all(ended.client, "last", 4);
  CHECK_SYS(shutdown(ended.client, SHUT_WR));

  workload_ready();

  for (int i = 0; i < 2; i++) {
    workload_context(i == 0 ? "SOCK_DGRAM" : "SOCK_SEQPACKET");
    CHECK_EQ(get_option(pairs[i].client, SOL_SOCKET, SO_TYPE), kTypes[i]);
    expect_packet(pairs[i].server, "one");
    expect_packet(pairs[i].server, "three");
    CHECK_ERRNO(recv(pairs[i].server, &(char){0}, 1, MSG_DONTWAIT), EAGAIN);
    expect_packet(pairs[i].client, "back");
    write_all(pairs[i].server, "fresh", 5);
    expect_packet(pairs[i].client, "fresh");
  }
  expect_packet(ended.server, "last");
  expect_packet(ended.server, "");
  return workload_ok();
}
