// A listener on all IPv6 and IPv4 addresses, connections with IPv4-mapped addresses, and listeners
// that share one port through SO_REUSEPORT or by having different families.
#include "workload_sockets.h"

static int listen_any6(int port, bool only6, bool reuse_port) {
  int fd = open_socket(AF_INET6, SOCK_STREAM);
  set_option(fd, SOL_IPV6, IPV6_V6ONLY, only6);
  set_option(fd, SOL_SOCKET, SO_REUSEPORT, reuse_port);
  struct address address = loopback(AF_INET6, port);
  address.v6.sin6_addr = in6addr_any;
  CHECK_SYS(bind(fd, &address.any, address.size));
  CHECK_SYS(listen(fd, 5));
  return fd;
}

static struct pair connect_family(int listener, int family, int port) {
  struct pair pair = {.client = connect_to(loopback(family, port), SOCK_STREAM)};
  pair.server = CHECK_SYS(accept(listener, NULL, NULL));
  return pair;
}

static void check_mapped(struct address address) {
  CHECK(IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr));
}

int main(void) {
  int dual = listen_any6(0, false, false);
  int port = ntohs(local_address(dual).v6.sin6_port);
  struct pair mapped = connect_family(dual, AF_INET, port);
  check_mapped(peer_address(mapped.server));
  write_all(mapped.client, "mapped", 6);
  await_queued(mapped.server, 6);
  int shared = listen_any6(0, true, true);
  int shared_port = ntohs(local_address(shared).v6.sin6_port);
  int sharer = listen_any6(shared_port, true, true);
  int only4 = open_socket(AF_INET, SOCK_STREAM);
  struct address address = loopback(AF_INET, shared_port);
  CHECK_SYS(bind(only4, &address.any, address.size));
  CHECK_SYS(listen(only4, 5));

  workload_ready();

  check_mapped(peer_address(mapped.server));
  expect_text(mapped.server, "mapped");
  check_conversation(mapped);
  CHECK_EQ(get_option(dual, SOL_IPV6, IPV6_V6ONLY), 0);
  CHECK_EQ(get_option(shared, SOL_IPV6, IPV6_V6ONLY), 1);
  CHECK_EQ(get_option(sharer, SOL_SOCKET, SO_REUSEPORT), 1);
  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    check_conversation(connect_family(dual, kFamily[i], port));
  }
  check_conversation(connect_family(only4, AF_INET, shared_port));
  // With one of the sharers gone every connection goes to the other.
  close(sharer);
  check_conversation(connect_family(shared, AF_INET6, shared_port));
  return workload_ok();
}
