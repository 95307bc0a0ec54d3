// A first process whose children live in a time namespace that it does not live in itself.
// refused: time namespace
// rights: CAP_SYS_ADMIN
#include "workload.h"

static void body(void* unused) {
  (void)unused;
  wait_for_go();
}

int main(void) {
  CHECK_SYS(unshare(CLONE_NEWTIME));
  pid_t child = spawn(body, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
