#include "agent/peer_service.h"

#include "agent/host_info.h"
#include "agent/peer_server.h"
#include "agent/prediction_messages.h"
#include "agent/predictor.h"
#include "agent/rpc_status.h"
#include "base/log.h"

namespace martlet::agent {

grpc::Status PeerService::Info(grpc::ServerContext* context, const InfoRequest*, HostInfo* reply) {
  if (const auto caller = authenticated_host(*context); !caller) return to_status(caller);
  const auto info = gather_host_info(config_, membership_.address());
  if (info) *reply = *info;
  reply->set_migration_port(migrations_.port());
  return to_status(info);
}

grpc::Status PeerService::Join(grpc::ServerContext*, const JoinRequest* request, JoinReply* reply) {
  const auto admitted = membership_.admit(*request);
  if (!admitted) spdlog::warn("a host was not let in: {}", admitted.error().to_string());
  if (admitted) *reply = *admitted;
  return to_status(admitted);
}

grpc::Status PeerService::Announce(grpc::ServerContext* context, const Host* request, Empty*) {
  const auto caller = authenticated_host(*context);
  if (!caller) return to_status(caller);
  if (*caller != request->name())
    return to_status(Error(Code::kPermission, "a host announces only itself"));
  return to_status(membership_.add_host(*request));
}

grpc::Status PeerService::Costs(grpc::ServerContext* context, const InfoRequest*,
                                HostCosts* reply) {
  if (const auto caller = authenticated_host(*context); !caller) return to_status(caller);
  *reply = to_message(migrations_.predictor().own_costs());
  return grpc::Status::OK;
}

}  // namespace martlet::agent
