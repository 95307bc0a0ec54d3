// A place for filters of what comes in, which a container makes.
// modes: container
// rights: CAP_NET_ADMIN
// refused: ingress
#include "workload.h"

int main(void) {
  if (system("ip link add d0 type bridge && tc qdisc add dev d0 ingress") != 0)
    workload_skip("no ingress queueing discipline");

  workload_ready();

  CHECK_EQ(system("tc qdisc show dev d0 | grep -q ingress"), 0);
  return workload_ok();
}
