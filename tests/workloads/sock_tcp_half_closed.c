// TCP connections of which one direction is closed: FIN_WAIT2 and CLOSE_WAIT with data on the way
// in the open direction, and a FIN that waits behind data which finds no room.
#include "workload_sockets.h"

static void await_state_of(int fd, int state) {
  while (tcp_state(fd).tcpi_state != state) sched_yield();
}

int main(void) {
  struct pair half[kFamilies];
  struct pair full[kFamilies];
  size_t sent[kFamilies];
  for (int i = 0; i < kFamilies; i++) {
    half[i] = connect_tcp(kFamily[i]);
    write_all(half[i].client, "request", 7);
    CHECK_SYS(shutdown(half[i].client, SHUT_WR));
    write_all(half[i].server, "response", 8);
    await_state_of(half[i].client, TCP_FIN_WAIT2);
    await_state_of(half[i].server, TCP_CLOSE_WAIT);
    full[i] = connect_tcp(kFamily[i]);
    sent[i] = fill_socket(full[i].client, i);
    CHECK_SYS(shutdown(full[i].client, SHUT_WR));
    CHECK_EQ(tcp_state(full[i].client).tcpi_state, TCP_FIN_WAIT1);
  }
  signal(SIGPIPE, SIG_IGN);

  workload_ready();

  char byte;
  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    expect_text(half[i].server, "request");
    CHECK_EQ(CHECK_SYS(read(half[i].server, &byte, 1)), 0);
    expect_text(half[i].client, "response");
    CHECK_ERRNO(write(half[i].client, "x", 1), EPIPE);
    write_all(half[i].server, "more", 4);
    expect_text(half[i].client, "more");
    close(half[i].server);
    CHECK_EQ(CHECK_SYS(read(half[i].client, &byte, 1)), 0);
    drain_socket(full[i].server, sent[i], i);
    CHECK_EQ(CHECK_SYS(read(full[i].server, &byte, 1)), 0);
    write_all(full[i].server, "thanks", 6);
    expect_text(full[i].client, "thanks");
  }
  return workload_ok();
}
