// TCP listeners that go on accepting: the address, the backlog, non-blocking mode; a port that is
// bound and does not listen yet; a fresh socket.
#include "workload_sockets.h"

int main(void) {
  int listeners[kFamilies];
  int bound[kFamilies];
  int fresh[kFamilies];
  struct address addresses[kFamilies];
  struct address bound_addresses[kFamilies];
  for (int i = 0; i < kFamilies; i++) {
    listeners[i] = listen_loopback(kFamily[i], 33);
    addresses[i] = local_address(listeners[i]);
    CHECK_SYS(fcntl(listeners[i], F_SETFL, O_NONBLOCK));
    bound[i] = bind_loopback(kFamily[i], SOCK_STREAM);
    bound_addresses[i] = local_address(bound[i]);
    fresh[i] = open_socket(kFamily[i], SOCK_STREAM);
    set_option(fresh[i], SOL_TCP, TCP_NODELAY, 1);
  }

  workload_ready();

  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    check_same_address(local_address(listeners[i]), addresses[i]);
    CHECK_EQ(tcp_state(listeners[i]).tcpi_state, TCP_LISTEN);
    CHECK_EQ(tcp_state(listeners[i]).tcpi_sacked, 33);  // the backlog of a listener
    CHECK_ERRNO(accept(listeners[i], NULL, NULL), EAGAIN);
    struct pair pair = {.client = connect_to(addresses[i], SOCK_STREAM)};
    pair.server = CHECK_SYS(accept(listeners[i], NULL, NULL));
    check_conversation(pair);
    check_same_address(local_address(bound[i]), bound_addresses[i]);
    CHECK_SYS(listen(bound[i], 5));
    CHECK_EQ(get_option(fresh[i], SOL_TCP, TCP_NODELAY), 1);
    CHECK_SYS(connect(fresh[i], &bound_addresses[i].any, bound_addresses[i].size));
    pair = (struct pair){fresh[i], CHECK_SYS(accept(bound[i], NULL, NULL))};
    check_conversation(pair);
  }
  return workload_ok();
}
