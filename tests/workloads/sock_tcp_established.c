// Established TCP connections: data waiting in both receive queues, half of it read; addresses and
// flags.
#include "workload_sockets.h"

int main(void) {
  struct pair pairs[kFamilies];
  struct address client[kFamilies];
  struct address server[kFamilies];
  for (int i = 0; i < kFamilies; i++) {
    pairs[i] = connect_tcp(kFamily[i]);
    write_all(pairs[i].client, "taken and left", 14);
    expect_text(pairs[i].server, "taken ");
    write_all(pairs[i].server, "a reply that nobody reads yet", 29);
    await_queued(pairs[i].server, 8);
    await_queued(pairs[i].client, 29);
    client[i] = local_address(pairs[i].client);
    server[i] = local_address(pairs[i].server);
    CHECK_SYS(fcntl(pairs[i].client, F_SETFL, O_NONBLOCK));
  }

  workload_ready();

  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    check_same_address(local_address(pairs[i].client), client[i]);
    check_same_address(peer_address(pairs[i].client), server[i]);
    check_same_address(peer_address(pairs[i].server), client[i]);
    CHECK_EQ(tcp_state(pairs[i].client).tcpi_state, TCP_ESTABLISHED);
    expect_text(pairs[i].server, "and left");
    expect_text(pairs[i].client, "a reply that nobody reads yet");
    char byte;
    CHECK_ERRNO(read(pairs[i].client, &byte, 1), EAGAIN);
    CHECK_EQ(fcntl(pairs[i].client, F_GETFL), O_RDWR | O_NONBLOCK);
    CHECK_SYS(fcntl(pairs[i].client, F_SETFL, 0));
    check_conversation(pairs[i]);
  }
  return workload_ok();
}
