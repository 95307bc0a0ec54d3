// Three hundred TCP connections to one listener, each with its own data waiting.
#include "workload_sockets.h"

enum { kConnections = 300 };

int main(void) {
  static struct pair pairs[kConnections];
  int listener = listen_loopback(AF_INET, kConnections);
  struct address address = local_address(listener);
  for (int i = 0; i < kConnections; i++) {
    pairs[i].client = connect_to(address, SOCK_STREAM);
    pairs[i].server = CHECK_SYS(accept(listener, NULL, NULL));
    write_all(pairs[i].client, &i, sizeof i);
    int reply = -i;
    write_all(pairs[i].server, &reply, sizeof reply);
    await_queued(pairs[i].server, sizeof i);
    await_queued(pairs[i].client, sizeof i);
  }

  workload_ready();

  for (int i = 0; i < kConnections; i++) {
    int value;
    read_all(pairs[i].server, &value, sizeof value);
    CHECK_EQ(value, i);
    read_all(pairs[i].client, &value, sizeof value);
    CHECK_EQ(value, -i);
    check_conversation(pairs[i]);
  }
  return workload_ok();
}
