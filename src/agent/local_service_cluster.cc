// Calls of the local API about the cluster and its hosts.
#include <grpcpp/channel.h>

#include "agent/local_service.h"
#include "agent/peer.grpc.pb.h"
#include "agent/rpc_status.h"

namespace martlet::agent {
namespace {

constexpr auto kInfoTimeout = std::chrono::seconds(3);

HostStatus ask(const Membership& membership, const Host& host) {
  HostStatus status;
  *status.mutable_host() = host;
  const auto channel = membership.connect(host);
  if (!channel) {
    status.set_problem(channel.error().to_string());
    return status;
  }
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kInfoTimeout);
  HostInfo info;
  const grpc::Status answer = Peer::NewStub(*channel)->Info(&context, InfoRequest(), &info);
  status.set_reachable(answer.ok());
  status.set_version(info.version());
  status.set_kernel(info.kernel());
  status.set_problem(answer.error_message());
  return status;
}

}  // namespace

grpc::Status LocalService::InitCluster(grpc::ServerContext*, const InitClusterRequest*,
                                       InitClusterReply* reply) {
  const auto init = [&]() -> Result<void> {
    TRY(membership_.init());
    TRY(migrations_.start());
    TRY(peers_.start());
    reply->set_authority_fingerprint(TRY(fingerprint(TRY(membership_.identity()).authority)));
    reply->set_address(membership_.address());
    return {};
  };
  return to_status(init());
}

grpc::Status LocalService::CreateToken(grpc::ServerContext*, const CreateTokenRequest* request,
                                       CreateTokenReply* reply) {
  const auto token = membership_.create_token(request->valid_seconds());
  if (token) reply->set_token(*token);
  reply->set_address(membership_.address());
  return to_status(token);
}

grpc::Status LocalService::JoinCluster(grpc::ServerContext*, const JoinClusterRequest* request,
                                       JoinClusterReply* reply) {
  const auto join = [&]() -> Result<void> {
    TRY(membership_.join(request->address(), request->token()));
    TRY(migrations_.start());
    TRY(peers_.start());
    membership_.announce();
    reply->set_authority_fingerprint(TRY(fingerprint(TRY(membership_.identity()).authority)));
    reply->set_address(membership_.address());
    return {};
  };
  return to_status(join());
}

grpc::Status LocalService::ListHosts(grpc::ServerContext*, const ListHostsRequest*,
                                     ListHostsReply* reply) {
  const auto hosts = membership_.hosts();
  if (hosts)
    for (const Host& host : *hosts) *reply->add_hosts() = ask(membership_, host);
  return to_status(hosts);
}

grpc::Status LocalService::AddHost(grpc::ServerContext*, const Host* request, Empty*) {
  return to_status(membership_.add_host(*request));
}

grpc::Status LocalService::RemoveHost(grpc::ServerContext*, const NameRequest* request, Empty*) {
  return to_status(membership_.remove_host(request->name()));
}

}  // namespace martlet::agent
