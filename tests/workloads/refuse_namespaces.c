// A child in a network namespace of its own.
// modes: pid
// refused: namespace of its own
#include "workload_namespaces.h"

int main(void) {
  pid_t child = spawn_apart(CLONE_NEWNET);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
