// Processes in network namespaces of their own: with addresses, routes, settings and rules, sockets
// of many kinds with what waits in them, connections between processes, names and ports as
// elsewhere; sockets and descriptors of namespaces that their holder does not live in, or nobody.
// modes: container
// rights: CAP_SYS_ADMIN CAP_NET_ADMIN CAP_NET_RAW
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>

#include "workload_networks.h"

enum { kPort = 7077, kDatagrams = 3 };

static struct address port_of_loopback(void) {
  return loopback(AF_INET, kPort);
}

static int listen_at(struct address address) {
  int listener = open_socket(address.any.sa_family, SOCK_STREAM);
  if (address.any.sa_family != AF_UNIX) set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1);
  CHECK_SYS(bind(listener, &address.any, address.size));
  CHECK_SYS(listen(listener, 5));
  return listener;
}

// What every namespace has under the same names and ports.
struct alike {
  ino_t network;
  struct conversation tcp, tcp6, unix_stream;
  int datagrams, sender;  // UDP
  int unix_datagrams, unix_sender;
  struct pair pair;
};

static struct alike make_alike(const char* text) {
  struct alike made = {.network = own_network_number()};
  made.tcp = converse(listen_at(port_of_loopback()), port_of_loopback());
  made.tcp6 = converse(listen_at(loopback(AF_INET6, kPort)), loopback(AF_INET6, kPort));
  made.unix_stream = converse(listen_at(unix_abstract("name")), unix_abstract("name"));
  made.datagrams = open_socket(AF_INET, SOCK_DGRAM);
  struct address port = port_of_loopback();
  CHECK_SYS(bind(made.datagrams, &port.any, port.size));
  made.sender = connect_to(port, SOCK_DGRAM);
  made.unix_datagrams = open_socket(AF_UNIX, SOCK_DGRAM);
  struct address name = unix_abstract("datagrams");
  CHECK_SYS(bind(made.unix_datagrams, &name.any, name.size));
  made.unix_sender = connect_to(name, SOCK_DGRAM);
  for (int i = 0; i < kDatagrams; i++) {
    write_all(made.sender, text, strlen(text));
    write_all(made.unix_sender, text, strlen(text));
  }
  await_queued(made.datagrams, strlen(text));
  made.pair = unix_pair(SOCK_STREAM);
  return made;
}

static void expect_datagram(int fd, const char* text) {
  char buffer[64] = "";
  CHECK_SYS(recv(fd, buffer, sizeof buffer - 1, 0));
  CHECK_STR(buffer, text);
}

static void check_alike(const struct alike* made, ino_t network, const char* text) {
  const int sockets[] = {made->tcp.pair.client,
                         made->tcp.pair.server,
                         made->tcp.listener,
                         made->unix_stream.listener,
                         made->unix_stream.pair.server,
                         made->datagrams,
                         made->unix_datagrams,
                         made->pair.server};
  for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++)
    CHECK_EQ(network_of(sockets[i]), network);
  for (int i = 0; i < kDatagrams; i++) {
    expect_datagram(made->datagrams, text);
    expect_datagram(made->unix_datagrams, text);
  }
  write_all(made->sender, "later", 5);
  write_all(made->unix_sender, "later", 5);
  expect_datagram(made->datagrams, "later");
  expect_datagram(made->unix_datagrams, "later");
  check_converses(made->tcp);
  check_converses(made->tcp6);
  check_converses(made->unix_stream);
  check_conversation(made->pair);
}

// Sockets that know devices.
struct with_devices {
  int packets, echo, groups, netlink;
};

static const char kGroup[] = "239.1.2.3";

static struct with_devices open_with_devices(void) {
  struct with_devices made;
  made.packets = (int)CHECK_SYS(socket(AF_PACKET, SOCK_RAW, 0));
  struct sockaddr_ll link = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ARP),
                             .sll_ifindex = (int)if_nametoindex("d0")};
  CHECK_SYS(bind(made.packets, (struct sockaddr*)&link, sizeof link));
  made.echo = (int)CHECK_SYS(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  made.groups = open_socket(AF_INET, SOCK_DGRAM);
  struct ip_mreqn group = {.imr_ifindex = (int)if_nametoindex("d0")};
  CHECK_EQ(inet_pton(AF_INET, kGroup, &group.imr_multiaddr), 1);
  CHECK_SYS(setsockopt(made.groups, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group));
  made.netlink = (int)CHECK_SYS(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  struct sockaddr_nl port = {.nl_family = AF_NETLINK, .nl_pid = 77};
  CHECK_SYS(bind(made.netlink, (struct sockaddr*)&port, sizeof port));
  return made;
}

static void check_with_devices(const struct with_devices* made) {
  struct sockaddr_ll link;
  socklen_t size = sizeof link;
  CHECK_SYS(getsockname(made->packets, (struct sockaddr*)&link, &size));
  CHECK_EQ(link.sll_ifindex, if_nametoindex("d0"));
  run("grep -q '^7\\|d0' /proc/net/igmp && ip maddr show dev d0 | grep -q 239.1.2.3");
  CHECK_EQ(network_of(made->echo), own_network_number());
  CHECK_EQ(network_of(made->netlink), own_network_number());
}

// A client in another process of the namespace.
static void client_body(void* argument) {
  (void)argument;
  int client = connect_to(port_of_loopback(), SOCK_STREAM);
  write_all(client, "from a process", 14);
  wait_for_go();
  expect_text(client, "to a process");
  CHECK_EQ(network_of(client), own_network_number());
}

static const char* const kSetUp[] = {
    "ip link add d0 address 02:11:22:33:44:55 type bridge stp_state 0",
    "ip link set d0 addrgenmode none alias mine up",
    "ip addr add 10.77.0.1/24 dev d0",
    "ip -6 addr add fd77::1/64 dev d0 nodad",
    "ip route add 10.78.0.0/16 via 10.77.0.9",
    "ip route add default via 10.77.0.8",
    "ip rule add from 10.77.0.1 table 77 priority 100",
    "ip neigh add 10.77.0.9 lladdr 02:00:00:00:00:77 dev d0",
    "echo 7 > /proc/sys/net/ipv4/tcp_retries2",
    "echo '20000 30000' > /proc/sys/net/ipv4/ip_local_port_range",
    "echo 1 > /proc/sys/net/ipv4/ip_forward",
    "echo 77 > /proc/sys/net/core/somaxconn",
    "nft 'add table inet own; add chain inet own in { type filter hook input priority 0; };"
    " add rule inet own in tcp dport 7078 drop'",
};

static void full_body(void* argument) {
  (void)argument;
  leave_network();
  for (size_t i = 0; i < sizeof kSetUp / sizeof *kSetUp; i++) run(kSetUp[i]);
  struct alike alike = make_alike("full");
  struct with_devices devices = open_with_devices();
  pid_t client = spawn(client_body, NULL);
  int accepted = (int)CHECK_SYS(accept(alike.tcp.listener, NULL, NULL));
  await_waiting_child(client);
  char* before = network_state();
  wait_for_go();
  check_network_state(before);
  expect_text(accepted, "from a process");
  write_all(accepted, "to a process", 12);
  finish_child(client);
  check_with_devices(&devices);
  check_alike(&alike, own_network_number(), "full");
}

// Nothing is set up in it.
static void empty_body(void* argument) {
  (void)argument;
  CHECK_SYS(unshare(CLONE_NEWNET));
  int listener = listen_at(unix_abstract("name"));
  char* before = network_state();
  wait_for_go();
  check_network_state(before);
  struct address name = unix_abstract("name");
  struct pair pair = {.client = connect_to(name, SOCK_STREAM)};
  pair.server = (int)CHECK_SYS(accept(listener, NULL, NULL));
  check_conversation(pair);
}

// Sockets of the root's namespace, and of one that nobody lives in.
static void elsewhere_body(void* argument) {
  (void)argument;
  struct pair before = connect_tcp(AF_INET);
  leave_network();
  int left = open_network(getpid());
  struct alike of_left = make_alike("left");
  leave_network();
  int socket = open_socket(AF_INET, SOCK_STREAM);
  wait_for_go();
  CHECK_EQ(network_of(before.client), network_of_process(getppid()));
  CHECK_EQ(network_of(before.server), network_of_process(getppid()));
  CHECK(network_number(left) != own_network_number());
  CHECK_EQ(network_of(socket), own_network_number());
  check_conversation(before);
  CHECK_SYS(setns(left, CLONE_NEWNET));
  CHECK_EQ(network_number(left), own_network_number());
  check_alike(&of_left, own_network_number(), "left");
}

int main(void) {
  run("ip link set lo up");
  pid_t full = spawn(full_body, NULL);
  await_waiting_child(full);
  pid_t empty = spawn(empty_body, NULL);
  await_waiting_child(empty);
  pid_t elsewhere = spawn(elsewhere_body, NULL);
  await_waiting_child(elsewhere);
  struct alike alike = make_alike("root");
  int of_full = open_network(full);

  workload_ready();

  CHECK_EQ(network_number(of_full), network_of_process(full));
  CHECK(network_number(of_full) != own_network_number());
  finish_child(full);
  finish_child(empty);
  finish_child(elsewhere);
  check_alike(&alike, own_network_number(), "root");
  return workload_ok();
}
