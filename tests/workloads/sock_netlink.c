// Netlink: a socket keeps its port, groups, options, filter and destination, and works on; with and
// without a port.
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "workload_sockets.h"

static char buffer[32768];

static int open_netlink(int protocol) {
  return CHECK_SYS(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
}

static void bind_port(int fd, uint32_t port) {
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_pid = port};
  CHECK_SYS(bind(fd, (struct sockaddr*)&address, sizeof address));
}

static uint32_t port_of(int fd) {
  struct sockaddr_nl address;
  socklen_t size = sizeof address;
  CHECK_SYS(getsockname(fd, (struct sockaddr*)&address, &size));
  return address.nl_pid;
}

// Asks for all links and reads the answers up to the last one, which has the socket's port.
static void check_dump(int fd) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg message;
  } request = {{.nlmsg_len = sizeof request,
                .nlmsg_type = RTM_GETLINK,
                .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
               {.ifi_family = AF_UNSPEC}};
  CHECK_EQ(CHECK_SYS(send(fd, &request, sizeof request, 0)), sizeof request);
  struct nlmsghdr* header = (struct nlmsghdr*)buffer;
  CHECK_RANGE(CHECK_SYS(recv(fd, buffer, sizeof buffer, 0)), sizeof *header, sizeof buffer);
  CHECK_EQ(header->nlmsg_type, RTM_NEWLINK);
  CHECK_EQ(header->nlmsg_pid, port_of(fd));
  do CHECK_SYS(recv(fd, buffer, sizeof buffer, 0));
  while (header->nlmsg_type != NLMSG_DONE);
}

static bool is_ready(int fd) {
  struct pollfd entry = {fd, POLLIN, 0};
  return CHECK_SYS(poll(&entry, 1, 0)) == 1;
}

// Lets the kernel tell the group of links something; false without the right to do so.
static bool change_loopback(int length) {
  int fd = open_socket(AF_INET, SOCK_DGRAM);
  struct ifreq request = {.ifr_name = "lo", .ifr_qlen = length};
  int result = ioctl(fd, SIOCSIFTXQLEN, &request);
  close(fd);
  return result == 0;
}

// Accepts everything but messages of 5 bytes.
static void attach_filter(int fd) {
  struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
                               BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 5, 0, 1),
                               BPF_STMT(BPF_RET | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)};
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  CHECK_SYS(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

// What other programs do to devices meanwhile would wait in the queue.
static void drop_everything(int fd) {
  struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  CHECK_SYS(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

int main(void) {
  int route = open_netlink(NETLINK_ROUTE);
  bind_port(route, 0);
  uint32_t route_port = port_of(route);
  set_option(route, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  set_option(route, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
  set_option(route, SOL_SOCKET, SO_RCVBUF, 100000);
  int buffer_size = get_option(route, SOL_SOCKET, SO_RCVBUF);
  int unbound = open_netlink(NETLINK_ROUTE);
  int links = open_netlink(NETLINK_ROUTE);
  bind_port(links, 0);
  set_option(links, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_LINK);
  set_option(links, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_MDB);
  int devices = open_netlink(NETLINK_KOBJECT_UEVENT);
  drop_everything(devices);
  struct sockaddr_nl all = {.nl_family = AF_NETLINK, .nl_groups = 1};
  CHECK_SYS(bind(devices, (struct sockaddr*)&all, sizeof all));
  uint32_t devices_port = port_of(devices);
  int diagnosis = open_netlink(NETLINK_SOCK_DIAG);
  bind_port(diagnosis, 0);

  int receiver = open_netlink(NETLINK_USERSOCK);
  bind_port(receiver, 4321);
  attach_filter(receiver);
  int sender = CHECK_SYS(socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_USERSOCK));
  struct sockaddr_nl there = {.nl_family = AF_NETLINK, .nl_pid = 4321};
  CHECK_SYS(connect(sender, (struct sockaddr*)&there, sizeof there));
  uint32_t sender_port = port_of(sender);
  int poller = CHECK_SYS(epoll_create1(EPOLL_CLOEXEC));
  struct epoll_event entry = {.events = EPOLLIN, .data.u64 = 9};
  CHECK_SYS(epoll_ctl(poller, EPOLL_CTL_ADD, receiver, &entry));

  workload_ready();

  CHECK_EQ(port_of(route), route_port);
  CHECK_EQ(get_option(route, SOL_NETLINK, NETLINK_EXT_ACK), 1);
  CHECK_EQ(get_option(route, SOL_NETLINK, NETLINK_GET_STRICT_CHK), 1);
  CHECK_EQ(get_option(route, SOL_NETLINK, NETLINK_CAP_ACK), 0);
  CHECK_EQ(get_option(route, SOL_SOCKET, SO_RCVBUF), buffer_size);
  check_dump(route);
  CHECK_EQ(port_of(unbound), 0);
  check_dump(unbound);
  CHECK(port_of(unbound) != 0 && port_of(unbound) != route_port);

  uint32_t groups[2] = {0};
  socklen_t size = sizeof groups;
  CHECK_SYS(getsockopt(links, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &size));
  CHECK_EQ(groups[0], 1u << (RTNLGRP_LINK - 1) | 1u << (RTNLGRP_MDB - 1));
  CHECK(!is_ready(links));
  if (change_loopback(1234)) {
    CHECK_RANGE(CHECK_SYS(recv(links, buffer, sizeof buffer, 0)), sizeof(struct nlmsghdr),
                sizeof buffer);
    CHECK_EQ(((struct nlmsghdr*)buffer)->nlmsg_type, RTM_NEWLINK);
  }
  CHECK_EQ(port_of(devices), devices_port);
  size = sizeof all;
  CHECK_SYS(getsockname(devices, (struct sockaddr*)&all, &size));
  CHECK_EQ(all.nl_groups, 1);
  CHECK(port_of(diagnosis) != 0);

  CHECK_EQ(port_of(sender), sender_port);
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, &entry, 1, 0)), 0);
  CHECK_EQ(CHECK_SYS(send(sender, "five!", 5, 0)), 5);  // the filter drops it
  CHECK_EQ(CHECK_SYS(send(sender, "seven!!", 7, 0)), 7);
  CHECK_EQ(CHECK_SYS(epoll_wait(poller, &entry, 1, 0)), 1);
  struct sockaddr_nl from;
  size = sizeof from;
  CHECK_EQ(CHECK_SYS(recvfrom(receiver, buffer, sizeof buffer, 0, (struct sockaddr*)&from, &size)),
           7);
  CHECK_EQ(from.nl_pid, sender_port);
  CHECK_ERRNO(recv(sender, buffer, sizeof buffer, 0), EAGAIN);
  return workload_ok();
}
