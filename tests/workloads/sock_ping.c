// ICMP sockets without rights (ping): identifiers, peers, options.
#include <linux/icmp.h>
#include <netinet/icmp6.h>

#include "workload_sockets.h"

// The group of this process may have such sockets from now on, where it may say so.
static void allow_ping(void) {
  int fd = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY);
  if (fd < 0 || write(fd, "0 0", 3) != 3) return;
  close(fd);
}

static int open_ping(int family) {
  int fd = socket(family, SOCK_DGRAM, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  if (fd < 0) workload_skip("ICMP sockets are not allowed");
  return fd;
}

static int bind_ping(int family) {
  int fd = open_ping(family);
  struct address address = loopback(family, 0);
  CHECK_SYS(bind(fd, &address.any, address.size));
  return fd;
}

static void check_echo(int fd, int family, struct address to) {
  struct icmphdr echo = {.type = family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST};
  echo.un.echo.sequence = htons(5);
  CHECK_EQ(sendto(fd, &echo, sizeof echo, 0, &to.any, to.size), sizeof echo);
  struct icmphdr answer;
  CHECK_EQ(CHECK_SYS(recv(fd, &answer, sizeof answer, 0)), sizeof answer);
  CHECK_EQ(answer.type, family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY);
  CHECK_EQ(answer.un.echo.sequence, htons(5));
  CHECK_EQ(answer.un.echo.id, local_address(fd).v4.sin_port);
  char byte;
  CHECK_ERRNO(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

int main(void) {
  allow_ping();
  int fresh[kFamilies];
  int bound[kFamilies];
  int connected[kFamilies];
  struct address names[kFamilies];
  for (int i = 0; i < kFamilies; i++) {
    fresh[i] = open_ping(kFamily[i]);
    bound[i] = bind_ping(kFamily[i]);
    names[i] = local_address(bound[i]);
    connected[i] = open_ping(kFamily[i]);
    struct address peer = loopback(kFamily[i], 9);
    CHECK_SYS(connect(connected[i], &peer.any, peer.size));
  }
  set_option(bound[0], SOL_IP, IP_TTL, 9);
  set_option(bound[1], SOL_IPV6, IPV6_UNICAST_HOPS, 9);

  workload_ready();

  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    check_same_address(local_address(bound[i]), names[i]);
    check_echo(bound[i], kFamily[i], loopback(kFamily[i], 0));
    check_echo(fresh[i], kFamily[i], loopback(kFamily[i], 0));
    check_echo(connected[i], kFamily[i], peer_address(connected[i]));
  }
  CHECK_EQ(get_option(bound[0], SOL_IP, IP_TTL), 9);
  CHECK_EQ(get_option(bound[1], SOL_IPV6, IPV6_UNICAST_HOPS), 9);
  return workload_ok();
}
