// Network namespaces of processes that pairs of devices connect with the container's own and with
// each other: as a port of its bridge, routed and directly; with connections and datagrams through
// them, and a ruleset of the container's that translates addresses between them.
// modes: container
// rights: CAP_SYS_ADMIN CAP_NET_ADMIN
#include "workload_networks.h"

enum { kPort = 7100, kSeed = 5 };

static const char kRoot[] = "10.88.0.1", kLeft[] = "10.88.0.2", kDirect[] = "10.90.0.1";

static struct address at(const char* host) {
  struct address address = {.v4 = {.sin_family = AF_INET, .sin_port = htons(kPort)},
                            .size = sizeof(struct sockaddr_in)};
  CHECK_EQ(inet_pton(AF_INET, host, &address.v4.sin_addr), 1);
  return address;
}

static int bound(int type) {
  int fd = open_socket(AF_INET, type);
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  struct address address = at("0.0.0.0");
  CHECK_SYS(bind(fd, &address.any, address.size));
  if (type == SOCK_STREAM) CHECK_SYS(listen(fd, 5));
  return fd;
}

static int accept_from(int listener, const char* host) {
  struct address peer;
  peer.size = sizeof peer.storage;
  int fd = (int)CHECK_SYS(accept(listener, &peer.any, &peer.size));
  char text[INET_ADDRSTRLEN];
  CHECK_STR(inet_ntop(AF_INET, &peer.v4.sin_addr, text, sizeof text), host);
  return fd;
}

static void set_up(const char* const* lines) {
  for (; *lines; lines++) run(*lines);
}

// Each end of a connection.
static int say_before(int fd) {
  write_all(fd, "said before", 11);
  return fd;
}
// All that a process has, for each end waits for the other's.
static void check_go_on(const int* fds, size_t count) {
  for (size_t i = 0; i < count; i++) write_all(fds[i], "said after", 10);
  for (size_t i = 0; i < count; i++) {
    expect_text(fds[i], "said before");
    expect_text(fds[i], "said after");
  }
}

static void check_bulk(int fd) {
  enum { kMost = 64 << 20 };
  char* all = malloc(kMost);
  size_t size = 0;
  for (long got; (got = CHECK_SYS(read(fd, all + size, kMost - size))) > 0;) size += (size_t)got;
  CHECK_RANGE(size, 1, kMost - 1);
  check_pattern(all, size, kSeed);
  free(all);
}

// A pair of devices between the namespace that the process lives in and another's.
static void connect_with(pid_t other, const char* name, const char* own_name, int number) {
  char line[256];
  snprintf(line, sizeof line,
           "ip link add %s address 02:11:22:33:%02d:01 type veth peer name %s"
           " address 02:11:22:33:%02d:02 netns %d && ip link set %s addrgenmode none",
           name, number, own_name, number, getpid(), name);
  run_in_network_of(other, line);
  snprintf(line, sizeof line, "ip link set %s addrgenmode none", own_name);
  run(line);
}

static const char* const kRootLines[] = {
    "ip link set lo up",
    "echo 1 > /proc/sys/net/ipv4/ip_forward",
    "ip link add br0 address 02:11:22:33:00:01 type bridge stp_state 0",
    "ip link set br0 addrgenmode none up",
    "ip addr add 10.88.0.1/24 dev br0",
    "nft 'add table ip hide; add chain ip hide out { type nat hook postrouting priority 100; };"
    " add rule ip hide out ip saddr 10.89.0.0/30 oif br0 masquerade'",
    NULL};

static const char* const kLeftLines[] = {"ip link set eth9 mtu 1400 up",
                                         "ip addr add 10.88.0.2/24 dev eth9",
                                         "ip route add default via 10.88.0.1", NULL};

static const char* const kRightLines[] = {"ip link set eth9 up",
                                          "ip addr add 10.89.0.2/30 dev eth9",
                                          "ip route add default via 10.89.0.1",
                                          "ip link set direct up",
                                          "ip addr add 10.90.0.2/30 dev direct",
                                          NULL};

static void left_body(void* argument) {
  (void)argument;
  leave_network();
  connect_with(getppid(), "l0", "eth9", 1);
  run_in_network_of(getppid(), "ip link set l0 master br0 mtu 1400 up");
  set_up(kLeftLines);
  int to_root = connect_to(at(kRoot), SOCK_STREAM);
  int listener = bound(SOCK_STREAM);
  int datagrams = bound(SOCK_DGRAM);
  write_all(connect_to(at(kRoot), SOCK_DGRAM), "from the left", 13);
  write_all(to_root, "listening", 9);
  say_before(to_root);
  int of_root = say_before(accept_from(listener, kRoot));
  int bulk = accept_from(listener, kRoot);
  int direct = say_before(accept_from(listener, "10.90.0.2"));
  int translated = say_before(accept_from(listener, kRoot));
  char* before = network_state();
  wait_for_go();
  check_network_state(before);
  check_go_on((int[]){to_root, of_root, direct, translated}, 4);
  check_bulk(bulk);
  expect_text(datagrams, "from the root");
  int again = say_before(connect_to(at(kRoot), SOCK_STREAM));
  check_go_on(&again, 1);
}

static void right_body(void* argument) {
  pid_t left = *(pid_t*)argument;
  leave_network();
  connect_with(getppid(), "r0", "eth9", 2);
  run_in_network_of(getppid(), "ip link set r0 up; ip addr add 10.89.0.1/30 dev r0");
  connect_with(left, "direct", "direct", 3);
  run_in_network_of(left, "ip link set direct up; ip addr add 10.90.0.1/30 dev direct");
  set_up(kRightLines);
  int to_root = say_before(connect_to(at(kRoot), SOCK_STREAM));
  int direct = say_before(connect_to(at(kDirect), SOCK_STREAM));
  int translated = say_before(connect_to(at(kLeft), SOCK_STREAM));
  wait_for_go();
  check_go_on((int[]){to_root, direct, translated}, 3);
}

int main(void) {
  set_up(kRootLines);
  int listener = bound(SOCK_STREAM);
  int datagrams = bound(SOCK_DGRAM);
  pid_t left = spawn(left_body, NULL);
  int of_left = accept_from(listener, kLeft);
  expect_text(of_left, "listening");
  say_before(of_left);
  int to_left = say_before(connect_to(at(kLeft), SOCK_STREAM));
  int bulk = connect_to(at(kLeft), SOCK_STREAM);
  write_all(connect_to(at(kLeft), SOCK_DGRAM), "from the root", 13);
  pid_t right = spawn(right_body, &left);
  int of_right = say_before(accept_from(listener, "10.89.0.2"));
  await_waiting_child(right);
  await_waiting_child(left);
  fill_socket(bulk, kSeed);
  char* before = network_state();

  workload_ready();

  check_network_state(before);
  CHECK_SYS(kill(left, SIGUSR1));
  CHECK_SYS(kill(right, SIGUSR1));
  CHECK_SYS(shutdown(bulk, SHUT_WR));
  check_go_on((int[]){to_left, of_right, of_left}, 3);
  expect_text(datagrams, "from the left");
  int again = say_before(accept_from(listener, kLeft));
  check_go_on(&again, 1);
  reap_child(left);
  reap_child(right);
  return workload_ok();
}
