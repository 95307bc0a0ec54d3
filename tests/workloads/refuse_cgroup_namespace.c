// A child in a cgroup namespace of its own: nothing tells where its root would be elsewhere.
// modes: pid
// refused: cgroup namespace of its own
#include "workload_namespaces.h"

int main(void) {
  pid_t child = spawn_apart(CLONE_NEWCGROUP);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
