// TCP connections whose other end is closed while data waits to be read here. That other end
// belongs to no process: it stays with its network namespace and does not move with a container.
// modes: pid
#include "workload_sockets.h"

int main(void) {
  struct pair pairs[kFamilies];
  for (int i = 0; i < kFamilies; i++) {
    pairs[i] = connect_tcp(kFamily[i]);
    write_all(pairs[i].client, "testament", 9);
    close(pairs[i].client);
    while (tcp_state(pairs[i].server).tcpi_state != TCP_CLOSE_WAIT) sched_yield();
  }

  workload_ready();

  char byte;
  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    expect_text(pairs[i].server, "testament");
    CHECK_EQ(CHECK_SYS(read(pairs[i].server, &byte, 1)), 0);
  }
  return workload_ok();
}
