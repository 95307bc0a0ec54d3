// A thread that has made a mount namespace for itself.
// modes: container
// rights: CAP_SYS_ADMIN
// refused: mount namespace of its own
#include "workload_namespaces.h"

int main(void) {
  int kinds = CLONE_NEWNS;
  struct thread thread;
  start_apart(&thread, &kinds);

  workload_ready();

  finish_apart(&thread);
  return workload_ok();
}
