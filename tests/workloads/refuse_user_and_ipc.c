// A child in an IPC namespace that belongs to a user namespace of its own.
// refused: beside a user namespace
#include "workload_namespaces.h"

int main(void) {
  need_namespaces(CLONE_NEWUSER | CLONE_NEWIPC);
  pid_t child = spawn_apart(CLONE_NEWUSER | CLONE_NEWIPC);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
