// The server that other agents talk to: mutual TLS on the address of the configuration. It runs
// while this host is a member of a cluster. Called from the daemon's thread and from calls of the
// local API.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/agent_config.h"
#include "agent/membership.h"
#include "base/result.h"

namespace grpc {
class Server;
class ServerContext;
class Service;
}  // namespace grpc

namespace martlet::agent {

class PeerServer {
 public:
  // The services must outlive the server. Each call but Peer.Join must begin with
  // authenticated_host().
  PeerServer(const AgentConfig& config, Membership& membership,
             std::vector<grpc::Service*> services);
  ~PeerServer();

  // Listens, and tells Membership where. Does nothing if it listens already.
  Result<void> start();
  void stop();

 private:
  const AgentConfig& config_;
  Membership& membership_;
  const std::vector<grpc::Service*> services_;
  std::mutex mutex_;
  std::unique_ptr<grpc::Server> server_;
};

// The name of the host that calls, from its certificate. kPermission if it showed none.
Result<std::string> authenticated_host(const grpc::ServerContext& context);

}  // namespace martlet::agent
