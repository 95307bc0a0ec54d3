// A thread that has entered a network namespace of its own, as programs do that serve several.
// modes: pid
// refused: namespace of its own
#include "workload_namespaces.h"

int main(void) {
  int kinds = CLONE_NEWNET;
  struct thread thread;
  start_apart(&thread, &kinds);

  workload_ready();

  finish_apart(&thread);
  return workload_ok();
}
