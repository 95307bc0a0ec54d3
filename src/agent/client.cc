#include "agent/client.h"

#include <grpcpp/create_channel.h>

#include "agent/api.grpc.pb.h"
#include "agent/rpc_status.h"

namespace martlet::agent {

struct Client::Connection {
  std::string socket;
  std::optional<Nanoseconds> timeout;
  std::unique_ptr<Local::Stub> stub;

  void limit(grpc::ClientContext& context) const {
    if (timeout) context.set_deadline(std::chrono::system_clock::now() + *timeout);
  }

  Error error_of(const grpc::Status& status) const {
    Error error = from_status(status, "the agent at " + socket);
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
    limit(context);
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

NameRequest named(const std::string& name) {
  NameRequest request;
  request.set_name(name);
  return request;
}

Result<void> without_value(const Result<Empty>& reply) {
  if (!reply) return std::unexpected(reply.error());
  return {};
}

}  // namespace

Client::Client(const std::string& socket, std::optional<Nanoseconds> timeout)
    : connection_(std::make_unique<Connection>()) {
  connection_->socket = socket;
  connection_->timeout = timeout;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  connection_->stub = Local::NewStub(
      grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
}

Client::~Client() = default;

Result<HostInfo> Client::info() {
  return connection_->call(&Local::Stub::Info, InfoRequest());
}

Result<ContainerInfo> Client::run(const Declaration& declaration) {
  RunRequest request;
  *request.mutable_declaration() = declaration;
  return connection_->call(&Local::Stub::Run, request);
}

Result<ListReply> Client::list() {
  return connection_->call(&Local::Stub::List, ListRequest());
}

Result<ContainerInfo> Client::inspect(const std::string& name) {
  return connection_->call(&Local::Stub::Inspect, named(name));
}

Result<ContainerInfo> Client::stop(const std::string& name, double timeout_seconds) {
  StopRequest request;
  request.set_name(name);
  request.set_timeout_seconds(timeout_seconds);
  return connection_->call(&Local::Stub::Stop, request);
}

Result<void> Client::remove(const RemoveRequest& request) {
  return without_value(connection_->call(&Local::Stub::Remove, request));
}

Result<ContainerInfo> Client::pause(const std::string& name) {
  return connection_->call(&Local::Stub::Pause, named(name));
}

Result<ContainerInfo> Client::unpause(const std::string& name) {
  return connection_->call(&Local::Stub::Unpause, named(name));
}

Result<void> Client::logs(const LogsRequest& request,
                          const std::function<void(const LogChunk&)>& on_chunk) {
  grpc::ClientContext context;
  connection_->limit(context);
  return connection_->receive(connection_->stub->Logs(&context, request), on_chunk);
}

Result<void> Client::exec(const ExecRequest& request,
                          const std::function<void(const ExecEvent&)>& on_event) {
  grpc::ClientContext context;
  connection_->limit(context);
  return connection_->receive(connection_->stub->Exec(&context, request), on_event);
}

Result<CheckpointReply> Client::checkpoint(const CheckpointRequest& request) {
  return connection_->call(&Local::Stub::Checkpoint, request);
}

Result<CheckReply> Client::check(const std::string& name) {
  return connection_->call(&Local::Stub::Check, named(name));
}

Result<RestoreReply> Client::restore(const RestoreRequest& request) {
  return connection_->call(&Local::Stub::Restore, request);
}

Result<void> Client::migrate(const MigrateRequest& request,
                             const std::function<void(const MigrationEvent&)>& on_event) {
  grpc::ClientContext context;
  connection_->limit(context);
  return connection_->receive(connection_->stub->Migrate(&context, request), on_event);
}

Result<MigrationPlan> Client::check_migration(const MigrateRequest& request) {
  return connection_->call(&Local::Stub::CheckMigration, request);
}

Result<ListMigrationsReply> Client::list_migrations() {
  return connection_->call(&Local::Stub::ListMigrations, ListMigrationsRequest());
}

Result<Migration> Client::show_migration(const std::string& name) {
  return connection_->call(&Local::Stub::ShowMigration, named(name));
}

Result<Migration> Client::set_migration_limits(const MigrationLimits& limits) {
  return connection_->call(&Local::Stub::SetMigrationLimits, limits);
}

Result<void> Client::cancel_migration(const std::string& name) {
  return without_value(connection_->call(&Local::Stub::CancelMigration, named(name)));
}

Result<PredictReply> Client::predict(const PredictRequest& request) {
  return connection_->call(&Local::Stub::Predict, request);
}

Result<HistoryReply> Client::migration_history(const HistoryRequest& request) {
  return connection_->call(&Local::Stub::MigrationHistory, request);
}

Result<InitClusterReply> Client::init_cluster() {
  return connection_->call(&Local::Stub::InitCluster, InitClusterRequest());
}

Result<CreateTokenReply> Client::create_token(double valid_seconds) {
  CreateTokenRequest request;
  request.set_valid_seconds(valid_seconds);
  return connection_->call(&Local::Stub::CreateToken, request);
}

Result<JoinClusterReply> Client::join_cluster(const JoinClusterRequest& request) {
  return connection_->call(&Local::Stub::JoinCluster, request);
}

Result<ListHostsReply> Client::list_hosts() {
  return connection_->call(&Local::Stub::ListHosts, ListHostsRequest());
}

Result<void> Client::add_host(const Host& host) {
  return without_value(connection_->call(&Local::Stub::AddHost, host));
}

Result<void> Client::remove_host(const std::string& name) {
  return without_value(connection_->call(&Local::Stub::RemoveHost, named(name)));
}

}  // namespace martlet::agent
