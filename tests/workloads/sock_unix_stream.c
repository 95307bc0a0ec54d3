// Unix stream pairs: data queued in both directions, half read; flags; closed and half-closed
// peers.
#include "workload_sockets.h"

int main(void) {
  struct pair plain = unix_pair(SOCK_STREAM);
  write_all(plain.client, "read this part", 14);
  expect_text(plain.server, "read ");
  write_all(plain.client, " and more", 9);
  write_all(plain.server, "the other way", 13);
  struct pair quiet = unix_pair(SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
  struct pair half = unix_pair(SOCK_STREAM);
  write_all(half.client, "farewell", 8);
  CHECK_SYS(shutdown(half.client, SHUT_WR));
  struct pair closed = unix_pair(SOCK_STREAM);
  write_all(closed.client, "testament", 9);
  close(closed.client);
  struct pair deaf = unix_pair(SOCK_STREAM);
  CHECK_SYS(shutdown(deaf.server, SHUT_RD));
  struct pair full = unix_pair(SOCK_STREAM);
  size_t sent = fill_socket(full.client, 3);
  signal(SIGPIPE, SIG_IGN);

  workload_ready();

  char byte;
  expect_text(plain.server, "this part and more");
  expect_text(plain.client, "the other way");
  check_conversation(plain);
  CHECK_ERRNO(read(quiet.client, &byte, 1), EAGAIN);
  CHECK_EQ(fcntl(quiet.server, F_GETFL), O_RDWR | O_NONBLOCK);
  CHECK_EQ(fcntl(quiet.server, F_GETFD), FD_CLOEXEC);
  expect_text(half.server, "farewell");
  CHECK_EQ(read(half.server, &byte, 1), 0);
  CHECK_ERRNO(write(half.client, "x", 1), EPIPE);
  write_all(half.server, "still", 5);
  expect_text(half.client, "still");
  expect_text(closed.server, "testament");
  CHECK_EQ(read(closed.server, &byte, 1), 0);
  CHECK_ERRNO(write(closed.server, "x", 1), EPIPE);
  CHECK_ERRNO(write(deaf.client, "x", 1), EPIPE);
  CHECK_EQ(read(deaf.server, &byte, 1), 0);
  drain_socket(full.server, sent, 3);
  check_conversation(full);
  return workload_ok();
}
