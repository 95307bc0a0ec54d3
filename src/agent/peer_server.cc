#include "agent/peer_server.h"

#include <fmt/format.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "base/log.h"

namespace martlet::agent {
namespace {

// The host part of "ADDRESS:PORT" that others can use.
std::string reachable_host(const AgentConfig& config) {
  if (!config.advertise.empty()) return config.advertise;
  const std::string host = config.listen.substr(0, config.listen.rfind(':'));
  return host == "0.0.0.0" || host == "[::]" ? config.name : host;
}

}  // namespace

PeerServer::PeerServer(const AgentConfig& config, Membership& membership,
                       std::vector<grpc::Service*> services)
    : config_(config), membership_(membership), services_(std::move(services)) {}

PeerServer::~PeerServer() {
  stop();
}

Result<void> PeerServer::start() {
  const std::lock_guard lock(mutex_);
  if (server_) return {};
  grpc::ServerBuilder builder;
  int port = 0;
  // Without this, a second agent could take half of the connections to the same port.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(config_.listen, TRY(membership_.server_credentials()), &port);
  for (grpc::Service* service : services_) builder.RegisterService(service);
  server_ = builder.BuildAndStart();
  if (!server_ || port == 0)
    return std::unexpected(
        Error(Code::kSystem, fmt::format("cannot listen for other agents at {}", config_.listen))
            .with_remedy("choose another address or port with --listen"));
  membership_.set_address(fmt::format("{}:{}", reachable_host(config_), port));
  spdlog::info("agent {} serves its peers at {}", config_.name, membership_.address());
  return {};
}

void PeerServer::stop() {
  const std::lock_guard lock(mutex_);
  if (server_) server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  server_.reset();
}

Result<std::string> authenticated_host(const grpc::ServerContext& context) {
  const auto identity = context.auth_context();
  if (identity && identity->IsPeerAuthenticated()) {
    const auto names = identity->FindPropertyValues("x509_subject_alternative_name");
    if (names.size() == 1) return std::string(names[0].data(), names[0].size());
  }
  return fail(Code::kPermission, "the caller showed no certificate of this cluster");
}

}  // namespace martlet::agent
