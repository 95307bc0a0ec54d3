// Named Unix datagram sockets: queued messages with the address of their sender, connected ones.
#include "workload_sockets.h"

static int bind_at(const char* path) {
  struct address address = unix_path(path);
  int fd = open_socket(AF_UNIX, SOCK_DGRAM);
  CHECK_SYS(bind(fd, &address.any, address.size));
  return fd;
}

static void send_to(int fd, const char* path, const char* text) {
  struct address address = unix_path(path);
  CHECK_EQ(sendto(fd, text, strlen(text), 0, &address.any, address.size), strlen(text));
}

static void expect_from(int fd, const char* path, const char* text) {
  char data[64] = {0};
  struct address from = {.size = sizeof from.storage};
  CHECK_EQ(CHECK_SYS(recvfrom(fd, data, sizeof data, MSG_DONTWAIT, &from.any, &from.size)),
           strlen(text));
  CHECK_STR(data, text);
  if (path) {
    check_same_address(from, unix_path(path));
  } else {
    CHECK_EQ(from.size, 0);
  }
}

int main(void) {
  int receiver = bind_at("receiver");
  int sender = bind_at("sender");
  int nameless = open_socket(AF_UNIX, SOCK_DGRAM);
  int gone = bind_at("gone");
  int connected = bind_at("connected");
  struct address address = unix_path("receiver");
  CHECK_SYS(connect(connected, &address.any, address.size));
  send_to(sender, "receiver", "named");
  send_to(nameless, "receiver", "nameless");
  send_to(gone, "receiver", "from a closed socket");
  write_all(connected, "connected", 9);
  close(gone);

  workload_ready();

  expect_from(receiver, "sender", "named");
  expect_from(receiver, NULL, "nameless");
  expect_from(receiver, "gone", "from a closed socket");
  expect_from(receiver, "connected", "connected");
  send_to(receiver, "sender", "reply");
  expect_from(sender, "receiver", "reply");
  check_same_address(peer_address(connected), address);
  write_all(connected, "again", 5);
  expect_from(receiver, "connected", "again");
  CHECK_ERRNO(write(nameless, "x", 1), ENOTCONN);
  return workload_ok();
}
