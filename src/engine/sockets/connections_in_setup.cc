#include "engine/sockets/connections_in_setup.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <map>

#include "engine/context.h"
#include "sys/sock_diag.h"

namespace martlet::engine {

Result<ConnectionsInSetup> ConnectionsInSetup::watch(HostPid root) {
  Fd diag;
  TRY(run_in_namespace(root, "net", [&]() -> Result<void> {
    diag = TRY(sys::open_sock_diag());
    return {};
  }));
  return ConnectionsInSetup(std::move(diag));
}

// To look for handshakes the kernel walks through every connection of the host, so that is asked
// only for a family that something listens in.
Result<std::vector<std::string>> ConnectionsInSetup::list() const {
  std::map<std::string, size_t> waiting;
  for (int family : {AF_INET, AF_INET6}) {
    auto listeners = TRY(sys::list_tcp_sockets(diag_.get(), family, 1u << TCP_LISTEN));
    for (const sys::TcpSocketInfo& listener : listeners)
      if (listener.receive_queue > 0)
        waiting[sys::describe_address(sys::to_address(listener.local))] += listener.receive_queue;
    if (listeners.empty()) continue;
    for (const auto& handshake :
         TRY(sys::list_tcp_sockets(diag_.get(), family, 1u << TCP_SYN_RECV)))
      ++waiting[sys::describe_address(sys::to_address(handshake.local))];
  }
  std::vector<std::string> lines;
  for (const auto& [listener, count] : waiting)
    lines.push_back(std::to_string(count) + " to " + listener);
  return lines;
}

}  // namespace martlet::engine
