#include "engine/sockets/connections_in_setup.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <map>

#include "engine/context.h"
#include "engine/network/network_namespaces.h"
#include "sys/procfs.h"
#include "sys/sock_diag.h"

namespace martlet::engine {
namespace {

// To look for handshakes the kernel walks through every connection of the host, so that is asked
// only for a family that something listens in.
Result<void> count(const Fd& network, std::map<std::string, size_t>& waiting) {
  for (int family : {AF_INET, AF_INET6}) {
    auto listeners = TRY(sys::list_tcp_sockets(network.get(), family, 1u << TCP_LISTEN));
    for (const sys::TcpSocketInfo& listener : listeners)
      if (listener.receive_queue > 0)
        waiting[sys::describe_address(sys::to_address(listener.local))] += listener.receive_queue;
    if (listeners.empty()) continue;
    for (const auto& handshake :
         TRY(sys::list_tcp_sockets(network.get(), family, 1u << TCP_SYN_RECV)))
      ++waiting[sys::describe_address(sys::to_address(handshake.local))];
  }
  return {};
}

}  // namespace

Result<ConnectionsInSetup> ConnectionsInSetup::watch(HostPid root) {
  std::vector<Fd> networks;
  for (const auto& [inode, process] : networks_below(root)) {
    auto opened = run_in_namespace(process, "net", [&]() -> Result<void> {
      networks.push_back(TRY(sys::open_sock_diag()));
      return {};
    });
    if (!opened && sys::read_status(process)) return std::unexpected(std::move(opened.error()));
  }
  return ConnectionsInSetup(std::move(networks));
}

Result<std::vector<std::string>> ConnectionsInSetup::list() const {
  std::map<std::string, size_t> waiting;
  for (const Fd& network : networks_) TRY(count(network, waiting));
  std::vector<std::string> lines;
  for (const auto& [listener, connections] : waiting)
    lines.push_back(std::to_string(connections) + " to " + listener);
  return lines;
}

}  // namespace martlet::engine
