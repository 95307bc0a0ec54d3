// Unix connections in a listener's backlog, with data, which nobody accepts.
// refused: waiting to be accepted
#include "workload_sockets.h"

int main(void) {
  int listener = open_socket(AF_UNIX, SOCK_STREAM);
  struct address address = unix_path("listener");
  CHECK_SYS(bind(listener, &address.any, address.size));
  CHECK_SYS(listen(listener, 5));
  int first = connect_to(address, SOCK_STREAM);
  write_all(first, "first", 5);
  int second = connect_to(address, SOCK_STREAM);

  workload_ready();

  int accepted = CHECK_SYS(accept(listener, NULL, NULL));
  expect_text(accepted, "first");
  check_conversation((struct pair){first, accepted});
  accepted = CHECK_SYS(accept(listener, NULL, NULL));
  check_conversation((struct pair){second, accepted});
  return workload_ok();
}
