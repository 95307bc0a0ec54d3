// UDP-Lite: how much of what is sent and received the checksum covers, queued datagrams, peers.
#include "workload_sockets.h"

enum { kSendCoverage = 10, kReceiveCoverage = 11 };  // of UDP-Lite

static int open_lite(int family, int send_coverage, int receive_coverage) {
  int fd = socket(family, SOCK_DGRAM, IPPROTO_UDPLITE);
  if (fd < 0) workload_skip("this kernel has no UDP-Lite");
  set_option(fd, IPPROTO_UDPLITE, kSendCoverage, send_coverage);
  set_option(fd, IPPROTO_UDPLITE, kReceiveCoverage, receive_coverage);
  return fd;
}

static int bind_lite(int family, int send_coverage, int receive_coverage) {
  int fd = open_lite(family, send_coverage, receive_coverage);
  struct address address = loopback(family, 0);
  CHECK_SYS(bind(fd, &address.any, address.size));
  return fd;
}

static int connect_lite(struct address to, int send_coverage) {
  int fd = open_lite(to.any.sa_family, send_coverage, 0);
  CHECK_SYS(connect(fd, &to.any, to.size));
  return fd;
}

int main(void) {
  int receivers[kFamilies];
  int senders[kFamilies];
  int weak[kFamilies];
  struct address addresses[kFamilies];
  for (int i = 0; i < kFamilies; i++) {
    receivers[i] = bind_lite(kFamily[i], 12, 16);
    addresses[i] = local_address(receivers[i]);
    senders[i] = connect_lite(addresses[i], 20);
    weak[i] = connect_lite(addresses[i], 8);
    CHECK_EQ(send(senders[i], "first datagram", 14, 0), 14);
    CHECK_EQ(send(senders[i], "", 0, 0), 0);
    CHECK_EQ(send(senders[i], "second datagram", 15, 0), 15);
  }

  workload_ready();

  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    char text[64] = {0};
    check_same_address(local_address(receivers[i]), addresses[i]);
    check_same_address(peer_address(senders[i]), addresses[i]);
    CHECK_EQ(get_option(receivers[i], IPPROTO_UDPLITE, kSendCoverage), 12);
    CHECK_EQ(get_option(receivers[i], IPPROTO_UDPLITE, kReceiveCoverage), 16);
    CHECK_EQ(get_option(senders[i], IPPROTO_UDPLITE, kSendCoverage), 20);
    expect_text(receivers[i], "first datagram");
    CHECK_EQ(recv(receivers[i], text, sizeof text, MSG_DONTWAIT), 0);
    expect_text(receivers[i], "second datagram");
    // What covers less than the receiver demands does not reach it.
    CHECK_EQ(send(weak[i], "weakly covered data", 19, 0), 19);
    CHECK_EQ(send(senders[i], "third datagram", 14, 0), 14);
    expect_text(receivers[i], "third datagram");
    CHECK_ERRNO(recv(receivers[i], text, 1, MSG_DONTWAIT), EAGAIN);
  }
  return workload_ok();
}
