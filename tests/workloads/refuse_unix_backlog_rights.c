// A file that was sent on a Unix connection that waits to be accepted, and that is open nowhere
// else.
// refused: waiting to be accepted
#include "workload_sockets.h"

int main(void) {
  int listener = open_socket(AF_UNIX, SOCK_STREAM);
  struct address address = unix_path("listener");
  CHECK_SYS(bind(listener, &address.any, address.size));
  CHECK_SYS(listen(listener, 1));
  int client = connect_to(address, SOCK_STREAM);
  int passed = CHECK_SYS(memfd_create("passed", 0));
  write_all(passed, "content", 7);
  CHECK_SYS(lseek(passed, 0, SEEK_SET));
  send_rights(client, "file", &passed, 1);
  close(passed);

  workload_ready();

  int accepted = CHECK_SYS(accept(listener, NULL, NULL));
  receive_rights(accepted, "file", &passed, 1);
  expect_text(passed, "content");
  check_conversation((struct pair){client, accepted});
  return workload_ok();
}
