// Rules of iptables-legacy, which the kernel keeps apart, and a connection that they translate.
// modes: container
// rights: CAP_NET_ADMIN CAP_NET_RAW
#include "workload_iptables.h"

int main(void) {
  return check_iptables("legacy");
}
