// A child of a plain process tree in an IPC namespace of its own.
// modes: pid
// refused: IPC namespace of its own
#include "workload_namespaces.h"

int main(void) {
  pid_t child = spawn_apart(CLONE_NEWIPC);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
