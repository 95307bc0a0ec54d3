// A process in a user namespace of its own, with a network namespace that belongs to it, as
// sandboxes have, in a container that may not change its network; and its child.
// modes: container
#include "workload_networks.h"

static void set(const char* path, const char* value) {
  int file = (int)CHECK_SYS(open(path, O_WRONLY));
  write_all(file, value, strlen(value));
  CHECK_SYS(close(file));
}

static void map_users(void) {
  set("/proc/self/setgroups", "deny");
  set("/proc/self/uid_map", "0 0 1");
  set("/proc/self/gid_map", "0 0 1");
}

static int listen_at(struct address address) {
  int listener = open_socket(address.any.sa_family, SOCK_STREAM);
  CHECK_SYS(bind(listener, &address.any, address.size));
  CHECK_SYS(listen(listener, 5));
  return listener;
}

static void further_body(void* argument) {
  (void)argument;
  struct conversation talk =
      converse(listen_at(unix_abstract("further")), unix_abstract("further"));
  wait_for_go();
  CHECK_EQ(own_network_number(), network_of_process(getppid()));
  check_converses(talk);
}

static void sandbox_body(void* argument) {
  (void)argument;
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) workload_skip("no right to make namespaces");
  map_users();
  run("ip link set lo up && ip addr add 10.77.0.1/32 dev lo");
  run("ip link add d0 address 02:11:22:33:44:55 type bridge stp_state 0");
  run("ip link set d0 addrgenmode none up");
  run("ip route add 10.78.0.0/16 dev d0");
  struct conversation tcp = converse(listen_at(loopback(AF_INET, 7200)), loopback(AF_INET, 7200));
  struct conversation named = converse(listen_at(unix_abstract("name")), unix_abstract("name"));
  pid_t further = spawn(further_body, NULL);
  await_waiting_child(further);
  char* before = network_state();
  wait_for_go();
  check_network_state(before);
  CHECK_EQ(network_of(tcp.listener), own_network_number());
  CHECK_EQ(network_of(named.pair.client), own_network_number());
  finish_child(further);
  check_converses(tcp);
  check_converses(named);
  run("ip addr add 10.77.0.2/32 dev lo");  // it has the right to
}

int main(void) {
  struct conversation named = converse(listen_at(unix_abstract("name")), unix_abstract("name"));
  pid_t sandbox = spawn(sandbox_body, NULL);
  await_waiting_child(sandbox);

  workload_ready();

  CHECK(network_of_process(sandbox) != own_network_number());
  finish_child(sandbox);
  check_converses(named);
  return workload_ok();
}
