// A queueing discipline of its own that a container sets.
// modes: container
// rights: CAP_NET_ADMIN
// refused: tbf
#include "workload.h"

int main(void) {
  if (system("ip link add d0 type bridge && tc qdisc add dev d0 root tbf rate 1mbit burst 10k "
             "latency 50ms") != 0)
    workload_skip("no token buckets");

  workload_ready();

  CHECK_EQ(system("tc qdisc show dev d0 | grep -q tbf"), 0);
  return workload_ok();
}
