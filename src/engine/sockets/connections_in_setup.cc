#include "engine/sockets/connections_in_setup.h"

#include <netinet/tcp.h>

#include "engine/context.h"
#include "sys/sock_diag.h"

namespace martlet::engine {

Result<size_t> connections_in_setup(HostPid root) {
  Fd diag;
  TRY(run_in_namespace(root, "net", [&]() -> Result<void> {
    diag = TRY(sys::open_sock_diag());
    return {};
  }));
  size_t count = 0;
  auto sockets = TRY(sys::list_tcp_sockets(diag.get(), 1u << TCP_LISTEN | 1u << TCP_SYN_RECV));
  for (const sys::TcpSocketInfo& socket : sockets)
    count += socket.state == TCP_LISTEN ? socket.receive_queue : 1;
  return count;
}

}  // namespace martlet::engine
