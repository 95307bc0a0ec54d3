// Packet sockets: device, protocol, memberships, options and filters, of both types.
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include "workload_sockets.h"

static const uint8_t kGroup[ETH_ALEN] = {1, 0, 0x5e, 9, 8, 7};
static const char* const kGroupText = "01005e090807";
enum { kHeaders = 20 + 8, kLength = kHeaders + 3 };  // of IPv4 and UDP

static int open_packet(int type, int protocol, const char* device) {
  int fd = socket(AF_PACKET, type, 0);
  if (fd < 0) workload_skip("packet sockets are not allowed");
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol)};
  address.sll_ifindex = device ? if_nametoindex(device) : 0;
  CHECK_SYS(bind(fd, (struct sockaddr*)&address, sizeof address));
  return fd;
}

// Lets frames of this length pass.
static void attach_filter(int fd, unsigned length) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, length, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  CHECK_SYS(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

static void change_membership(int fd, int change) {
  struct packet_mreq request = {.mr_ifindex = if_nametoindex("lo"), .mr_type = PACKET_MR_MULTICAST};
  request.mr_alen = sizeof kGroup;
  memcpy(request.mr_address, kGroup, sizeof kGroup);
  CHECK_SYS(setsockopt(fd, SOL_PACKET, change, &request, sizeof request));
}

static bool device_hears_group(void) {
  return strstr(read_small_file("/proc/self/net/dev_mcast"), kGroupText) != NULL;
}

static void send_datagram(const char* text) {
  int receiver = bind_loopback(AF_INET, SOCK_DGRAM);
  int sender = connect_to(local_address(receiver), SOCK_DGRAM);
  CHECK_EQ(send(sender, text, strlen(text), 0), strlen(text));
  expect_text(receiver, text);
  close(receiver);
  close(sender);
}

// It goes out and comes in; a socket of IPv4 alone sees it come in.
static void expect_frame(int fd, int header, const char* text) {
  char frame[256] = {0};
  struct sockaddr_ll from;
  socklen_t size = sizeof from;
  int wanted = header + kHeaders + strlen(text);
  CHECK_EQ(CHECK_SYS(recvfrom(fd, frame, sizeof frame, 0, (struct sockaddr*)&from, &size)), wanted);
  CHECK_STR(frame + header + kHeaders, text);
  CHECK_EQ(from.sll_ifindex, if_nametoindex("lo"));
  CHECK_EQ(ntohs(from.sll_protocol), ETH_P_IP);
}

static void expect_nothing(int fd) {
  char byte;
  CHECK_ERRNO(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

int main(void) {
  int filtered = open_packet(SOCK_DGRAM, ETH_P_IP, "lo");
  attach_filter(filtered, kLength);
  int raw = open_packet(SOCK_RAW, ETH_P_IP, NULL);
  set_option(raw, SOL_PACKET, PACKET_AUXDATA, 1);
  set_option(raw, SOL_SOCKET, SO_RCVBUF, 50000);
  int receive_buffer = get_option(raw, SOL_SOCKET, SO_RCVBUF);
  int all = open_packet(SOCK_RAW, ETH_P_ALL, "lo");
  attach_filter(all, ETH_HLEN + kLength);
  set_option(all, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
  int idle = open_packet(SOCK_DGRAM, 0, NULL);
  change_membership(idle, PACKET_ADD_MEMBERSHIP);
  change_membership(idle, PACKET_ADD_MEMBERSHIP);

  workload_ready();

  // Loopback is the only device that is quiet.
  expect_nothing(filtered);
  send_datagram("long");
  send_datagram("abc");
  expect_frame(filtered, 0, "abc");
  expect_nothing(filtered);
  expect_frame(all, ETH_HLEN, "abc");
  expect_nothing(all);
  expect_frame(raw, ETH_HLEN, "long");
  expect_frame(raw, ETH_HLEN, "abc");
  CHECK_EQ(get_option(raw, SOL_PACKET, PACKET_AUXDATA), 1);
  CHECK_EQ(get_option(raw, SOL_SOCKET, SO_RCVBUF), receive_buffer);
  CHECK_EQ(get_option(all, SOL_PACKET, PACKET_IGNORE_OUTGOING), 1);
  // What was joined twice is left with the second.
  change_membership(idle, PACKET_DROP_MEMBERSHIP);
  CHECK(device_hears_group());
  change_membership(idle, PACKET_DROP_MEMBERSHIP);
  CHECK(!device_hears_group());
  expect_nothing(idle);
  return workload_ok();
}
