// Options of UDP, TCP and raw sockets of both families, all with other than their default values.
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <net/if.h>
#include <netinet/udp.h>

#include "workload_sockets.h"

enum { kUdp = 1, kTcp = 2, kRaw = 4, kDatagram = kUdp | kRaw, kAll = kUdp | kTcp | kRaw };
enum { kProtocols = 3, kValueSize = 256 };
// Newer than the C library's headers.
enum { kIpLocalPortRange = 51, kIpRecvErrRfc4884 = 26, kIpv6RecvErrRfc4884 = 31 };

struct option {
  int level;
  int name;
  const char* text;
  int protocols;
  int value;
  const void* data;  // instead of the value
  socklen_t size;
};

static const struct linger kLinger = {1, 7};
static const struct timeval kTimeout = {3, 250000};
static const struct {
  int flags;
  int clock;
} kStamping = {SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE, 0};
static const struct {
  clockid_t clock;
  uint32_t flags;
} kSendTime = {CLOCK_MONOTONIC, 0};
static const uint8_t kNoOperations[4] = {1, 1, 1, 0};         // of IPv4
static const uint8_t kPadding[8] = {0, 0, 1, 4, 0, 0, 0, 0};  // an extension header of IPv6
static const struct in_addr kLoopbackAddress = {0x0100007f};

#define OPTION(level, name) level, name, #name
#define DATA(constant) .data = &constant, .size = sizeof constant

static const struct option kAnyFamily[] = {
    {OPTION(SOL_SOCKET, SO_REUSEADDR), kUdp | kTcp, .value = 1},
    {OPTION(SOL_SOCKET, SO_REUSEPORT), kUdp | kTcp, .value = 1},
    {OPTION(SOL_SOCKET, SO_BINDTODEVICE), kAll, .data = "lo", .size = 3},
    {OPTION(SOL_SOCKET, SO_MARK), kAll, .value = 77},
    {OPTION(SOL_SOCKET, SO_PRIORITY), kAll, .value = 5},
    {OPTION(SOL_SOCKET, SO_KEEPALIVE), kTcp, .value = 1},
    {OPTION(SOL_SOCKET, SO_OOBINLINE), kTcp, .value = 1},
    {OPTION(SOL_SOCKET, SO_BROADCAST), kDatagram, .value = 1},
    {OPTION(SOL_SOCKET, SO_DONTROUTE), kAll, .value = 1},
    {OPTION(SOL_SOCKET, SO_NO_CHECK), kUdp, .value = 1},
    {OPTION(SOL_SOCKET, SO_LINGER), kAll, DATA(kLinger)},
    {OPTION(SOL_SOCKET, SO_RCVTIMEO), kAll, DATA(kTimeout)},
    {OPTION(SOL_SOCKET, SO_SNDTIMEO), kAll, DATA(kTimeout)},
    {OPTION(SOL_SOCKET, SO_TIMESTAMPNS), kAll, .value = 1},
    {OPTION(SOL_SOCKET, SO_TIMESTAMPING), kAll, DATA(kStamping)},
    {OPTION(SOL_SOCKET, SO_TXTIME), kDatagram, DATA(kSendTime)},
    {OPTION(SOL_SOCKET, SO_RXQ_OVFL), kDatagram, .value = 1},
    {OPTION(SOL_SOCKET, SO_SELECT_ERR_QUEUE), kDatagram, .value = 1},
    {OPTION(SOL_SOCKET, SO_RCVLOWAT), kAll, .value = 3},
    {OPTION(SOL_SOCKET, SO_SNDBUF), kAll, .value = 40000},
    {OPTION(SOL_SOCKET, SO_RCVBUF), kAll, .value = 50000},
    {OPTION(SOL_SOCKET, SO_PEEK_OFF), kUdp, .value = 2},
    {OPTION(SOL_SOCKET, SO_ZEROCOPY), kUdp | kTcp, .value = 1},
    {OPTION(IPPROTO_UDP, UDP_CORK), kUdp, .value = 1},
    {OPTION(IPPROTO_UDP, UDP_SEGMENT), kUdp, .value = 1200},
    {OPTION(IPPROTO_UDP, UDP_GRO), kUdp, .value = 1},
    {OPTION(IPPROTO_UDP, UDP_NO_CHECK6_TX), kUdp, .value = 1},
    {OPTION(IPPROTO_UDP, UDP_NO_CHECK6_RX), kUdp, .value = 1},
    {OPTION(SOL_TCP, TCP_NODELAY), kTcp, .value = 1},
    {OPTION(SOL_TCP, TCP_KEEPIDLE), kTcp, .value = 100},
    {OPTION(SOL_TCP, TCP_USER_TIMEOUT), kTcp, .value = 12345},
};

static const struct option kOfIpv4[] = {
    {OPTION(SOL_IP, IP_TOS), kAll, .value = 0x10},
    {OPTION(SOL_IP, IP_TTL), kAll, .value = 33},
    {OPTION(SOL_IP, IP_MINTTL), kAll, .value = 12},
    {OPTION(SOL_IP, IP_MTU_DISCOVER), kAll, .value = IP_PMTUDISC_PROBE},
    {OPTION(SOL_IP, IP_FREEBIND), kAll, .value = 1},
    {OPTION(SOL_IP, IP_BIND_ADDRESS_NO_PORT), kAll, .value = 1},
    {OPTION(SOL_IP, kIpLocalPortRange), kUdp | kTcp, .value = 40000 | 50000 << 16},
    {OPTION(SOL_IP, IP_PKTINFO), kDatagram, .value = 1},
    {OPTION(SOL_IP, IP_RECVTTL), kDatagram, .value = 1},
    {OPTION(SOL_IP, IP_RECVTOS), kDatagram, .value = 1},
    {OPTION(SOL_IP, IP_RECVOPTS), kDatagram, .value = 1},
    {OPTION(SOL_IP, IP_RETOPTS), kDatagram, .value = 1},
    {OPTION(SOL_IP, IP_RECVERR), kAll, .value = 1},
    {OPTION(SOL_IP, kIpRecvErrRfc4884), kDatagram, .value = 1},
    {OPTION(SOL_IP, IP_RECVORIGDSTADDR), kDatagram, .value = 1},
    {OPTION(SOL_IP, IP_RECVFRAGSIZE), kDatagram, .value = 1},
    {OPTION(SOL_IP, IP_CHECKSUM), kUdp, .value = 1},
    {OPTION(SOL_IP, IP_OPTIONS), kDatagram, DATA(kNoOperations)},
    {OPTION(SOL_IP, IP_HDRINCL), kRaw, .value = 1},
    {OPTION(SOL_IP, IP_NODEFRAG), kRaw, .value = 1},
    {OPTION(SOL_IP, IP_MULTICAST_IF), kDatagram, DATA(kLoopbackAddress)},
    {OPTION(SOL_IP, IP_MULTICAST_TTL), kDatagram, .value = 9},
    {OPTION(SOL_IP, IP_MULTICAST_LOOP), kDatagram, .value = 0},
    {OPTION(SOL_IP, IP_MULTICAST_ALL), kDatagram, .value = 0},
};

static const struct option kOfIpv6[] = {
    {OPTION(SOL_IPV6, IPV6_V6ONLY), kUdp | kTcp, .value = 1},
    {OPTION(SOL_IPV6, IPV6_TCLASS), kAll, .value = 0x20},
    {OPTION(SOL_IPV6, IPV6_UNICAST_HOPS), kAll, .value = 44},
    {OPTION(SOL_IPV6, IPV6_MINHOPCOUNT), kAll, .value = 11},
    {OPTION(SOL_IPV6, IPV6_MTU_DISCOVER), kAll, .value = IPV6_PMTUDISC_PROBE},
    {OPTION(SOL_IPV6, IPV6_FREEBIND), kAll, .value = 1},
    {OPTION(SOL_IPV6, IPV6_RECVPKTINFO), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_RECVHOPLIMIT), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_RECVTCLASS), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_RECVRTHDR), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_RECVHOPOPTS), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_RECVDSTOPTS), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_RECVPATHMTU), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_RECVERR), kAll, .value = 1},
    {OPTION(SOL_IPV6, kIpv6RecvErrRfc4884), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_RECVORIGDSTADDR), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_RECVFRAGSIZE), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_2292PKTINFO), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_2292HOPLIMIT), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_DONTFRAG), kDatagram, .value = 1},
    {OPTION(SOL_IPV6, IPV6_AUTOFLOWLABEL), kAll, .value = 0},
    {OPTION(SOL_IPV6, IPV6_ADDR_PREFERENCES), kAll, .value = 1},  // a temporary address
    {OPTION(SOL_IPV6, IPV6_DSTOPTS), kDatagram, DATA(kPadding)},
    {OPTION(SOL_IPV6, IPV6_CHECKSUM), kRaw, .value = 6},
    {OPTION(SOL_IPV6, IPV6_HDRINCL), kRaw, .value = 1},
    {OPTION(SOL_IPV6, IPV6_MULTICAST_HOPS), kDatagram, .value = 8},
    {OPTION(SOL_IPV6, IPV6_MULTICAST_LOOP), kDatagram, .value = 0},
    {OPTION(SOL_IPV6, IPV6_MULTICAST_ALL), kDatagram, .value = 0},
};

struct value {
  char bytes[kValueSize];
  socklen_t size;
};

static void read_value(int fd, const struct option* option, struct value* out) {
  memset(out, 0, sizeof *out);
  out->size = sizeof out->bytes;
  CHECK_SYS(getsockopt(fd, option->level, option->name, out->bytes, &out->size));
}

static bool same(const struct value* a, const struct value* b) {
  return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

// What this kernel or container has no option or right for is left alone.
static void change(int fd, const struct option* option) {
  struct value before;
  struct value after;
  workload_context(option->text);
  before.size = sizeof before.bytes;
  if (getsockopt(fd, option->level, option->name, before.bytes, &before.size) != 0) {
    CHECK_EQ(errno, ENOPROTOOPT);
    return;
  }
  read_value(fd, option, &before);
  const void* data = option->data ? option->data : &option->value;
  socklen_t size = option->data ? option->size : sizeof option->value;
  if (setsockopt(fd, option->level, option->name, data, size) != 0) {
    CHECK(errno == EPERM || errno == ENOPROTOOPT || errno == EOPNOTSUPP);
    return;
  }
  read_value(fd, option, &after);
  CHECK(!same(&before, &after));
}

enum { kMost = sizeof kAnyFamily / sizeof *kAnyFamily + sizeof kOfIpv6 / sizeof *kOfIpv6 };

// One socket with all its options.
struct subject {
  int fd;
  int protocol;
  const struct option* options[kMost];
  struct value values[kMost];
  int count;
};

static void add(struct subject* subject, const struct option* options, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (options[i].protocols & subject->protocol) subject->options[subject->count++] = &options[i];
  }
}

static int open_subject(int family, int protocol) {
  if (protocol == kRaw) return socket(family, SOCK_RAW, 253);
  return open_socket(family, protocol == kUdp ? SOCK_DGRAM : SOCK_STREAM);
}

static bool prepare(struct subject* subject, int family, int protocol) {
  *subject = (struct subject){.protocol = protocol, .fd = open_subject(family, protocol)};
  if (subject->fd < 0) return false;
  add(subject, kAnyFamily, sizeof kAnyFamily / sizeof *kAnyFamily);
  if (family == AF_INET) add(subject, kOfIpv4, sizeof kOfIpv4 / sizeof *kOfIpv4);
  if (family == AF_INET6) add(subject, kOfIpv6, sizeof kOfIpv6 / sizeof *kOfIpv6);
  for (int i = 0; i < subject->count; i++) change(subject->fd, subject->options[i]);
  return true;
}

// Some options change others, so all are read when all are set.
static void note(struct subject* subject) {
  struct value value;
  for (int i = 0; i < subject->count; i++) {
    value.size = sizeof value.bytes;
    const struct option* option = subject->options[i];
    if (getsockopt(subject->fd, option->level, option->name, value.bytes, &value.size) != 0) {
      subject->options[i--] = subject->options[--subject->count];
      continue;
    }
    read_value(subject->fd, option, &subject->values[i]);
  }
}

static void check(const struct subject* subject) {
  struct value now;
  for (int i = 0; i < subject->count; i++) {
    workload_context(subject->options[i]->text);
    read_value(subject->fd, subject->options[i], &now);
    CHECK(same(&now, &subject->values[i]));
  }
}

// Lets datagrams pass that begin with 'y', and cannot be taken off.
static int filtered_receiver(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'y', 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  int fd = bind_loopback(AF_INET, SOCK_DGRAM);
  CHECK_SYS(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  set_option(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
  return fd;
}

static void check_filtered(int fd) {
  workload_context("filter");
  int sender = connect_to(local_address(fd), SOCK_DGRAM);
  CHECK_EQ(send(sender, "no", 2, 0), 2);
  CHECK_EQ(send(sender, "yes", 3, 0), 3);
  expect_text(fd, "yes");
  char byte;
  CHECK_ERRNO(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
  int unused = 0;
  CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused), EPERM);
}

int main(void) {
  static struct subject subjects[kFamilies * kProtocols];
  int count = 0;
  for (int i = 0; i < kFamilies; i++) {
    for (int protocol = kUdp; protocol <= kRaw; protocol *= 2) {
      struct subject* subject = &subjects[count];
      if (prepare(subject, kFamily[i], protocol)) count++;
    }
  }
  for (int i = 0; i < count; i++) note(&subjects[i]);
  int filtered = filtered_receiver();

  workload_ready();

  for (int i = 0; i < count; i++) check(&subjects[i]);
  check_filtered(filtered);
  return workload_ok();
}
