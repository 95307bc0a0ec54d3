// A TCP connection whose filter cannot be replaced, not even for the time of a checkpoint.
// refused: locked
// rights: CAP_NET_ADMIN
#include <linux/filter.h>

#include "workload_sockets.h"

int main(void) {
  struct pair pair = connect_tcp(AF_INET);
  struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0xffff)};
  struct sock_fprog program = {1, code};
  CHECK_SYS(setsockopt(pair.server, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  set_option(pair.server, SOL_SOCKET, SO_LOCK_FILTER, 1);

  workload_ready();

  check_conversation(pair);
  return workload_ok();
}
