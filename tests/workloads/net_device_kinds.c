// Devices that not every kernel has: dummies and VLANs.
// modes: container
// rights: CAP_NET_ADMIN
#include "workload.h"

int main(void) {
  if (system("ip link add d0 type dummy && ip link add link d0 name d0.7 type vlan id 7"
             " reorder_hdr off egress-qos-map 1:2") != 0)
    workload_skip("no dummies or no VLANs");
  CHECK_EQ(
      system("ip link set d0 up && ip link set d0.7 mtu 1400 up && ip addr add 10.9.0.1/24 dev d0.7"
             " && ip -d -o link > before && ip -o addr >> before"),
      0);

  workload_ready();

  CHECK_EQ(system("ip -d -o link > after && ip -o addr >> after && cmp before after"), 0);
  return workload_ok();
}
