// Raw sockets: protocols, own headers, ICMP filters, addresses, peers.
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>

#include "workload_sockets.h"

enum { kProtocol = 253, kIcmpFilter = 1, kHeader = sizeof(struct iphdr) };

static int open_raw(int family, int protocol) {
  int fd = socket(family, SOCK_RAW, protocol);
  if (fd < 0) workload_skip("raw sockets are not allowed");
  return fd;
}

static int bind_raw(int family, int protocol) {
  int fd = open_raw(family, protocol);
  struct address address = loopback(family, 0);
  CHECK_SYS(bind(fd, &address.any, address.size));
  return fd;
}

static int connect_raw(int family, int protocol) {
  int fd = open_raw(family, protocol);
  struct address address = loopback(family, 0);
  CHECK_SYS(connect(fd, &address.any, address.size));
  return fd;
}

// A packet of IPv4 is received with its header.
static void expect_packet(int fd, int family, const char* text) {
  char packet[256] = {0};
  int header = family == AF_INET ? kHeader : 0;
  CHECK_EQ(CHECK_SYS(recv(fd, packet, sizeof packet - 1, 0)), header + strlen(text));
  CHECK_STR(packet + header, text);
}

static void expect_nothing(int fd) {
  char byte;
  CHECK_ERRNO(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

static void send_with_own_header(int fd, const char* text) {
  struct {
    struct iphdr header;
    char text[32];
  } packet = {.header = {.version = 4, .ihl = 5, .ttl = 9, .protocol = kProtocol}};
  strcpy(packet.text, text);
  size_t size = kHeader + strlen(text);
  packet.header.tot_len = htons(size);
  packet.header.daddr = htonl(INADDR_LOOPBACK);
  struct address to = loopback(AF_INET, 0);
  CHECK_EQ(sendto(fd, &packet, size, 0, &to.any, to.size), size);
}

static uint16_t checksum(const void* bytes, size_t size) {
  uint32_t sum = 0;
  for (size_t i = 0; i < size; i += 2) sum += *(const uint16_t*)((const char*)bytes + i);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

static void send_echo(int family) {
  struct icmphdr echo = {.type = ICMP_ECHO, .un.echo = {.id = 7, .sequence = 1}};
  if (family == AF_INET) echo.checksum = checksum(&echo, sizeof echo);
  if (family == AF_INET6) echo.type = ICMP6_ECHO_REQUEST;
  int fd = connect_raw(family, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  CHECK_EQ(send(fd, &echo, sizeof echo, 0), sizeof echo);
  close(fd);
}

// Gets answers to echo requests and nothing else.
static int echo_receiver(int family) {
  if (family == AF_INET) {
    int fd = open_raw(family, IPPROTO_ICMP);
    set_option(fd, SOL_RAW, kIcmpFilter, ~(1 << ICMP_ECHOREPLY));
    return fd;
  }
  int fd = open_raw(family, IPPROTO_ICMPV6);
  struct icmp6_filter filter;
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
  CHECK_SYS(setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter));
  return fd;
}

static void check_echo(int fd, int family) {
  uint8_t packet[256];
  int header = family == AF_INET ? kHeader : 0;
  send_echo(family);
  CHECK_EQ(CHECK_SYS(recv(fd, packet, sizeof packet, 0)), header + sizeof(struct icmphdr));
  CHECK_EQ(packet[header], family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY);
  expect_nothing(fd);
}

int main(void) {
  int bound[kFamilies];
  int connected[kFamilies];
  int echoes[kFamilies];
  for (int i = 0; i < kFamilies; i++) {
    bound[i] = bind_raw(kFamily[i], kProtocol);
    connected[i] = connect_raw(kFamily[i], kProtocol);
    echoes[i] = echo_receiver(kFamily[i]);
  }
  int own_header = open_raw(AF_INET, kProtocol);
  set_option(own_header, SOL_IP, IP_HDRINCL, 1);
  int sender = open_raw(AF_INET, IPPROTO_RAW);
  int elsewhere = open_raw(AF_INET, kProtocol);
  struct address other = loopback(AF_INET, 0);
  other.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
  CHECK_SYS(bind(elsewhere, &other.any, other.size));

  workload_ready();

  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    expect_nothing(bound[i]);
    expect_nothing(echoes[i]);
    CHECK_EQ(send(connected[i], "packet", 6, 0), 6);
    expect_packet(bound[i], kFamily[i], "packet");
    expect_packet(connected[i], kFamily[i], "packet");
    check_echo(echoes[i], kFamily[i]);
  }
  workload_context("own header");
  send_with_own_header(sender, "by protocol");
  expect_packet(bound[0], AF_INET, "by protocol");
  send_with_own_header(own_header, "by option");
  expect_packet(bound[0], AF_INET, "by option");
  workload_context("other address");
  expect_nothing(elsewhere);
  check_same_address(local_address(elsewhere),
                     (struct address){.v4 = {.sin_family = AF_INET,
                                             .sin_port = htons(kProtocol),
                                             .sin_addr = other.v4.sin_addr},
                                      .size = sizeof other.v4});
  return workload_ok();
}
