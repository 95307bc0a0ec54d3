// UDP sockets: bound, connected, with queued datagrams and the addresses of their senders, options.
#include "workload_sockets.h"

static void send_to(int fd, struct address to, const char* text) {
  CHECK_EQ(sendto(fd, text, strlen(text), 0, &to.any, to.size), strlen(text));
}

static void expect_from(int fd, struct address want, const char* text) {
  char data[64] = {0};
  struct address from = {.size = sizeof from.storage};
  CHECK_EQ(CHECK_SYS(recvfrom(fd, data, sizeof data, 0, &from.any, &from.size)), strlen(text));
  CHECK_STR(data, text);
  check_same_address(from, want);
}

int main(void) {
  int receivers[kFamilies];
  int senders[kFamilies];
  int connected[kFamilies];
  struct address addresses[kFamilies];
  struct address sender_addresses[kFamilies];
  for (int i = 0; i < kFamilies; i++) {
    receivers[i] = bind_loopback(kFamily[i], SOCK_DGRAM);
    addresses[i] = local_address(receivers[i]);
    senders[i] = bind_loopback(kFamily[i], SOCK_DGRAM);
    sender_addresses[i] = local_address(senders[i]);
    set_option(senders[i], SOL_SOCKET, SO_BROADCAST, 1);
    set_option(senders[i], SOL_SOCKET, SO_RCVBUF, 30000);
    connected[i] = connect_to(addresses[i], SOCK_DGRAM);
    send_to(senders[i], addresses[i], "one");
    CHECK_EQ(send(connected[i], "three", 5, 0), 5);
    send_to(receivers[i], sender_addresses[i], "reply");
  }
  int receive_buffer = get_option(senders[0], SOL_SOCKET, SO_RCVBUF);

  workload_ready();

  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    expect_from(receivers[i], sender_addresses[i], "one");
    expect_from(receivers[i], local_address(connected[i]), "three");
    expect_from(senders[i], addresses[i], "reply");
    char byte;
    CHECK_ERRNO(recv(receivers[i], &byte, 1, MSG_DONTWAIT), EAGAIN);
    check_same_address(local_address(receivers[i]), addresses[i]);
    check_same_address(peer_address(connected[i]), addresses[i]);
    CHECK_EQ(get_option(senders[i], SOL_SOCKET, SO_BROADCAST), 1);
    CHECK_EQ(get_option(senders[i], SOL_SOCKET, SO_RCVBUF), receive_buffer);
    CHECK_EQ(send(connected[i], "again", 5, 0), 5);
    expect_from(receivers[i], local_address(connected[i]), "again");
    send_to(receivers[i], local_address(connected[i]), "back");
    expect_from(connected[i], addresses[i], "back");
    // A connected socket takes nothing from others.
    send_to(senders[i], local_address(connected[i]), "stranger");
    CHECK_ERRNO(recv(connected[i], &byte, 1, MSG_DONTWAIT), EAGAIN);
  }
  return workload_ok();
}
