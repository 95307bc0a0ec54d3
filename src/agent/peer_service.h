// What agents ask of each other (peer.proto), as far as it is about hosts.
#pragma once

#include <grpcpp/server_context.h>

#include "agent/agent_config.h"
#include "agent/membership.h"
#include "agent/migration_service.h"
#include "agent/peer.grpc.pb.h"

namespace martlet::agent {

class PeerService final : public Peer::Service {
 public:
  PeerService(const AgentConfig& config, Membership& membership, MigrationService& migrations)
      : config_(config), membership_(membership), migrations_(migrations) {}

  grpc::Status Info(grpc::ServerContext* context, const InfoRequest*, HostInfo* reply) override;
  grpc::Status Join(grpc::ServerContext*, const JoinRequest* request, JoinReply* reply) override;
  grpc::Status Announce(grpc::ServerContext* context, const Host* request, Empty*) override;
  grpc::Status Costs(grpc::ServerContext* context, const InfoRequest*, HostCosts* reply) override;

 private:
  const AgentConfig& config_;
  Membership& membership_;
  MigrationService& migrations_;
};

}  // namespace martlet::agent
