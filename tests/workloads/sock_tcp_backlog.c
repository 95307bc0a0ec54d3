// TCP connections in a listener's backlog, in order, with data and with ends of streams, which
// nobody accepts.
#include "workload_sockets.h"

enum { kWaiting = 4 };

static void check_listener(int listener, struct pair* waiting) {
  for (int i = 0; i < kWaiting; i++) {
    struct address from = {.size = sizeof from.storage};
    waiting[i].server = CHECK_SYS(accept(listener, &from.any, &from.size));
    check_same_address(from, local_address(waiting[i].client));
    check_same_address(local_address(waiting[i].server), local_address(listener));
    CHECK_EQ(get_option(waiting[i].server, SOL_SOCKET, SO_KEEPALIVE), 1);
  }
  expect_text(waiting[0].server, "early");
  drain_socket(waiting[1].server, 30000, 7);
  expect_text(waiting[2].server, "last words");
  char byte;
  CHECK_EQ(CHECK_SYS(recv(waiting[2].server, &byte, 1, 0)), 0);
  write_all(waiting[2].server, "answer", 6);
  expect_text(waiting[2].client, "answer");
  close(waiting[2].client);
  close(waiting[2].server);
  check_conversation(waiting[0]);
  check_conversation(waiting[1]);
  check_conversation(waiting[3]);
  struct pair fresh = {.client = connect_to(local_address(listener), SOCK_STREAM)};
  fresh.server = CHECK_SYS(accept(listener, NULL, NULL));
  check_conversation(fresh);
}

int main(void) {
  int listeners[kFamilies];
  struct pair waiting[kFamilies][kWaiting];
  static char pattern[30000];
  fill_pattern(pattern, sizeof pattern, 7);
  for (int i = 0; i < kFamilies; i++) {
    listeners[i] = listen_loopback(kFamily[i], kWaiting);
    set_option(listeners[i], SOL_SOCKET, SO_KEEPALIVE, 1);
    for (int j = 0; j < kWaiting; j++)
      waiting[i][j].client = connect_to(local_address(listeners[i]), SOCK_STREAM);
    write_all(waiting[i][0].client, "early", 5);
    write_all(waiting[i][1].client, pattern, sizeof pattern);
    write_all(waiting[i][2].client, "last words", 10);
    CHECK_SYS(shutdown(waiting[i][2].client, SHUT_WR));
  }

  workload_ready();

  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    check_listener(listeners[i], waiting[i]);
  }
  return workload_ok();
}
