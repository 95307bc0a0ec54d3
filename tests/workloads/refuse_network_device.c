// A network device of a kind that Martlet does not make again.
// modes: container
// rights: CAP_NET_ADMIN
// refused: tun0

#include "workload.h"

int main(void) {
  if (system("ip link add tun0 type vxlan id 5 dstport 4789 local 127.0.0.1") != 0)
    workload_skip("no VXLAN");

  workload_ready();

  CHECK_EQ(system("ip link show tun0 > /dev/null"), 0);
  return workload_ok();
}
