#include "cli/client.h"

#include <grpcpp/create_channel.h>

#include "agent/api.grpc.pb.h"
#include "agent/rpc_status.h"

namespace martlet::cli {

using agent::Local;

struct Client::Connection {
  std::string socket;
  std::unique_ptr<Local::Stub> stub;

  Error error_of(const grpc::Status& status) const {
    Error error = agent::from_status(status, "the agent at " + socket);
    // With details it is the agent who speaks, of another host.
    if (error.code() == Code::kPeerLost && status.error_details().empty())
      return std::move(error).with_remedy("start martletd, or give its socket with --socket");
    return error;
  }

  // One request, one reply.
  template <typename Reply, typename Request>
  Result<Reply> call(grpc::Status (Local::Stub::*method)(grpc::ClientContext*, const Request&,
                                                         Reply*),
                     const Request& request) {
    grpc::ClientContext context;
    Reply reply;
    const grpc::Status status = (stub.get()->*method)(&context, request, &reply);
    if (!status.ok()) return std::unexpected(error_of(status));
    return reply;
  }

  // One request, many replies.
  template <typename Reply, typename Reader>
  Result<void> receive(Reader reader, const std::function<void(const Reply&)>& on_reply) {
    Reply reply;
    while (reader->Read(&reply)) on_reply(reply);
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return std::unexpected(error_of(status));
    return {};
  }
};

namespace {

agent::NameRequest named(const std::string& name) {
  agent::NameRequest request;
  request.set_name(name);
  return request;
}

Result<void> without_value(const Result<agent::Empty>& reply) {
  if (!reply) return std::unexpected(reply.error());
  return {};
}

}  // namespace

Client::Client(const std::string& socket) : connection_(std::make_unique<Connection>()) {
  connection_->socket = socket;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  connection_->stub = Local::NewStub(
      grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
}

Client::~Client() = default;

Result<agent::HostInfo> Client::info() {
  return connection_->call(&Local::Stub::Info, agent::InfoRequest());
}

Result<agent::ContainerInfo> Client::run(const agent::Declaration& declaration) {
  agent::RunRequest request;
  *request.mutable_declaration() = declaration;
  return connection_->call(&Local::Stub::Run, request);
}

Result<agent::ListReply> Client::list() {
  return connection_->call(&Local::Stub::List, agent::ListRequest());
}

Result<agent::ContainerInfo> Client::inspect(const std::string& name) {
  return connection_->call(&Local::Stub::Inspect, named(name));
}

Result<agent::ContainerInfo> Client::stop(const std::string& name, double timeout_seconds) {
  agent::StopRequest request;
  request.set_name(name);
  request.set_timeout_seconds(timeout_seconds);
  return connection_->call(&Local::Stub::Stop, request);
}

Result<void> Client::remove(const agent::RemoveRequest& request) {
  return without_value(connection_->call(&Local::Stub::Remove, request));
}

Result<agent::ContainerInfo> Client::pause(const std::string& name) {
  return connection_->call(&Local::Stub::Pause, named(name));
}

Result<agent::ContainerInfo> Client::unpause(const std::string& name) {
  return connection_->call(&Local::Stub::Unpause, named(name));
}

Result<void> Client::logs(const agent::LogsRequest& request,
                          const std::function<void(const agent::LogChunk&)>& on_chunk) {
  grpc::ClientContext context;
  return connection_->receive(connection_->stub->Logs(&context, request), on_chunk);
}

Result<void> Client::exec(const agent::ExecRequest& request,
                          const std::function<void(const agent::ExecEvent&)>& on_event) {
  grpc::ClientContext context;
  return connection_->receive(connection_->stub->Exec(&context, request), on_event);
}

Result<agent::CheckpointReply> Client::checkpoint(const agent::CheckpointRequest& request) {
  return connection_->call(&Local::Stub::Checkpoint, request);
}

Result<agent::CheckReply> Client::check(const std::string& name) {
  agent::NameRequest request;
  request.set_name(name);
  return connection_->call(&Local::Stub::Check, request);
}

Result<agent::RestoreReply> Client::restore(const agent::RestoreRequest& request) {
  return connection_->call(&Local::Stub::Restore, request);
}

Result<void> Client::migrate(const agent::MigrateRequest& request,
                             const std::function<void(const agent::MigrationEvent&)>& on_event) {
  grpc::ClientContext context;
  return connection_->receive(connection_->stub->Migrate(&context, request), on_event);
}

Result<agent::MigrationPlan> Client::check_migration(const agent::MigrateRequest& request) {
  return connection_->call(&Local::Stub::CheckMigration, request);
}

Result<agent::ListMigrationsReply> Client::list_migrations() {
  return connection_->call(&Local::Stub::ListMigrations, agent::ListMigrationsRequest());
}

Result<agent::Migration> Client::show_migration(const std::string& name) {
  return connection_->call(&Local::Stub::ShowMigration, named(name));
}

Result<agent::Migration> Client::set_migration_limits(const agent::MigrationLimits& limits) {
  return connection_->call(&Local::Stub::SetMigrationLimits, limits);
}

Result<void> Client::cancel_migration(const std::string& name) {
  return without_value(connection_->call(&Local::Stub::CancelMigration, named(name)));
}

Result<agent::PredictReply> Client::predict(const agent::PredictRequest& request) {
  return connection_->call(&Local::Stub::Predict, request);
}

Result<agent::HistoryReply> Client::migration_history(const agent::HistoryRequest& request) {
  return connection_->call(&Local::Stub::MigrationHistory, request);
}

Result<agent::InitClusterReply> Client::init_cluster() {
  return connection_->call(&Local::Stub::InitCluster, agent::InitClusterRequest());
}

Result<agent::CreateTokenReply> Client::create_token(double valid_seconds) {
  agent::CreateTokenRequest request;
  request.set_valid_seconds(valid_seconds);
  return connection_->call(&Local::Stub::CreateToken, request);
}

Result<agent::JoinClusterReply> Client::join_cluster(const agent::JoinClusterRequest& request) {
  return connection_->call(&Local::Stub::JoinCluster, request);
}

Result<agent::ListHostsReply> Client::list_hosts() {
  return connection_->call(&Local::Stub::ListHosts, agent::ListHostsRequest());
}

Result<void> Client::add_host(const agent::Host& host) {
  return without_value(connection_->call(&Local::Stub::AddHost, host));
}

Result<void> Client::remove_host(const std::string& name) {
  return without_value(connection_->call(&Local::Stub::RemoveHost, named(name)));
}

}  // namespace martlet::cli
