// TCP connections in a listener's backlog, with data, which nobody accepts.
// refused: waiting to be accepted
#include "workload_sockets.h"

int main(void) {
  int listeners[kFamilies];
  struct pair waiting[kFamilies][2];
  for (int i = 0; i < kFamilies; i++) {
    listeners[i] = listen_loopback(kFamily[i], 5);
    for (int j = 0; j < 2; j++) {
      waiting[i][j].client = connect_to(local_address(listeners[i]), SOCK_STREAM);
    }
    write_all(waiting[i][0].client, "early", 5);
  }

  workload_ready();

  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    for (int j = 0; j < 2; j++) {
      waiting[i][j].server = CHECK_SYS(accept(listeners[i], NULL, NULL));
      check_same_address(peer_address(waiting[i][j].server), local_address(waiting[i][j].client));
    }
    expect_text(waiting[i][0].server, "early");
    for (int j = 0; j < 2; j++) check_conversation(waiting[i][j]);
  }
  return workload_ok();
}
