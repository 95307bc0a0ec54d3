// TCP connections whose windows are full in both directions: data sent and not acknowledged, and
// data not sent at all, besides full receive queues.
#include "workload_sockets.h"

int main(void) {
  struct pair pairs[kFamilies];
  size_t to_server[kFamilies];
  size_t to_client[kFamilies];
  for (int i = 0; i < kFamilies; i++) {
    pairs[i] = connect_tcp(kFamily[i]);
    to_server[i] = fill_socket(pairs[i].client, 10 + i);
    to_client[i] = fill_socket(pairs[i].server, 20 + i);
  }

  workload_ready();

  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    drain_socket(pairs[i].server, to_server[i], 10 + i);
    drain_socket(pairs[i].client, to_client[i], 20 + i);
    check_conversation(pairs[i]);
  }
  return workload_ok();
}
