// Queueing disciplines that a container sets: they are there again, let pass, hold back and drop
// what they did.
// modes: container
// rights: CAP_NET_ADMIN
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "workload_shell.h"

enum { kHeaders = 14 + 20 + 8, kBurst = 1000, kLimit = 5, kPackets = 20 };

static const char* const kSetUp[] = {
    "ip link add q0 address 02:11:22:33:44:11 type veth peer name q1 address 02:11:22:33:44:12",
    "for d in q0 q1; do echo 1 > /proc/sys/net/ipv6/conf/$d/disable_ipv6; ip link set $d up; done",
    "ip addr add 10.9.7.1/24 dev q0",
    "ip neigh add 10.9.7.2 lladdr 02:11:22:33:44:77 dev q0",
    "ip link add q2 address 02:11:22:33:44:13 type veth peer name q3 address 02:11:22:33:44:14",
    "for d in q2 q3; do echo 1 > /proc/sys/net/ipv6/conf/$d/disable_ipv6; ip link set $d up; done",
    "ip addr add 10.9.8.1/24 dev q2",
    "ip neigh add 10.9.8.2 lladdr 02:11:22:33:44:78 dev q2",
    "tc qdisc add dev lo root pfifo limit 99",
    // One packet of a thousand bytes in a hundred seconds.
    "tc qdisc add dev q0 root handle 9: tbf rate 80bit burst 1000 limit 100000",
    "tc qdisc add dev q0 parent 9:1 handle 6: pfifo limit 5",
    "tc qdisc add dev q2 root handle 7: htb default 0x12",
    "tc class add dev q2 parent 7: classid 7:1 htb rate 1gbit quantum 1514",
    "tc class add dev q2 parent 7:1 classid 7:12 htb rate 500mbit ceil 1gbit quantum 1514",
    "tc class add dev q2 parent 7:1 classid 7:3 htb rate 500mbit prio 2 quantum 1514",
    "tc qdisc add dev q2 parent 7:3 handle 5: bfifo limit 50000",
};

static char* state(void) {
  return say(
      "for d in lo q0 q2; do tc qdisc show dev $d | sed -E 's/direct_packets_stat [0-9]+//'; "
      "tc class show dev $d | sort; done");
}

// What stands before a word in what tc tells of an object.
static long number(const char* object, const char* expression) {
  char line[256];
  snprintf(line, sizeof line, "tc -s %s | sed -nE 's/%s/\\1/p' | head -n 1", object, expression);
  char* text = say(line);
  long value = strtol(text, NULL, 10);
  free(text);
  return value;
}

static int open_to(const char* address) {
  int fd = CHECK_SYS(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7)};
  CHECK_EQ(inet_pton(AF_INET, address, &to.sin_addr), 1);
  CHECK_SYS(connect(fd, (struct sockaddr*)&to, sizeof to));
  return fd;
}

// A packet of so many bytes on the link. The socket may learn that it was dropped.
static void send_packet(int fd, size_t size) {
  static char data[2 * kBurst];
  if (send(fd, data, size - kHeaders, 0) < 0) CHECK_EQ(errno, ENOBUFS);
}

// A packet of just the size of the bucket passes, a larger one never does; then as many wait as
// may.
static void check_bucket(void) {
  int fd = open_to("10.9.7.2");
  static const char kBucket[] = "qdisc show dev q0 root";
  const long sent = number(kBucket, ".* ([0-9]+) pkt.*");
  const long dropped = number(kBucket, ".*dropped ([0-9]+).*");
  send_packet(fd, kBurst + 1);
  CHECK_EQ(number(kBucket, ".*dropped ([0-9]+).*"), dropped + 1);
  for (int i = 0; i < kPackets; i++) send_packet(fd, kBurst);
  CHECK_EQ(number(kBucket, ".* ([0-9]+) pkt.*"), sent + 1);
  CHECK_EQ(number(kBucket, ".*backlog .* ([0-9]+)p .*"), kLimit);
  CHECK_EQ(number(kBucket, ".*dropped ([0-9]+).*"), dropped + kPackets - kLimit);
  close(fd);
}

// What is for no class passes through the default one.
static void check_classes(void) {
  int fd = open_to("10.9.8.2");
  const int other = 7 << 16 | 3;
  for (int i = 0; i < 3; i++) send_packet(fd, kBurst);
  CHECK_SYS(setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &other, sizeof other));
  for (int i = 0; i < 2; i++) send_packet(fd, kBurst);
  while (number("class show dev q2 classid 7:12", ".* ([0-9]+) pkt.*") < 3) sched_yield();
  while (number("class show dev q2 classid 7:3", ".* ([0-9]+) pkt.*") < 2) sched_yield();
  CHECK_EQ(number("class show dev q2 classid 7:12", ".* ([0-9]+) pkt.*"), 3);
  CHECK_EQ(number("class show dev q2 classid 7:3", ".* ([0-9]+) pkt.*"), 2);
  close(fd);
}

int main(void) {
  for (size_t i = 0; i < sizeof kSetUp / sizeof *kSetUp; i++) {
    if (system(kSetUp[i]) == 0) continue;
    if (strstr(kSetUp[i], "qdisc")) workload_skip("not all queueing disciplines");
    workload_fail(__FILE__, __LINE__, kSetUp[i], "failure", "success");
  }
  char* before = state();

  workload_ready();

  char* after = state();
  CHECK_STR(after, before);
  check_bucket();
  check_classes();
  free(before);
  free(after);
  return workload_ok();
}
