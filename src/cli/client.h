// The command line's side of the agent's local API. Each function is one call and blocks; errors
// carry what the agent said.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/api.pb.h"
#include "base/result.h"

namespace martlet::cli {

class Client {
 public:
  // Nothing is sent yet.
  explicit Client(const std::string& socket);
  ~Client();

  Result<agent::HostInfo> info();
  Result<agent::ContainerInfo> run(const agent::Declaration& declaration);
  Result<agent::ListReply> list();
  Result<agent::ContainerInfo> inspect(const std::string& name);
  Result<agent::ContainerInfo> stop(const std::string& name, double timeout_seconds);
  Result<void> remove(const agent::RemoveRequest& request);
  Result<agent::ContainerInfo> pause(const std::string& name);
  Result<agent::ContainerInfo> unpause(const std::string& name);

  Result<void> logs(const agent::LogsRequest& request,
                    const std::function<void(const agent::LogChunk&)>& on_chunk);
  Result<void> exec(const agent::ExecRequest& request,
                    const std::function<void(const agent::ExecEvent&)>& on_event);

  Result<agent::CheckpointReply> checkpoint(const agent::CheckpointRequest& request);
  Result<agent::CheckReply> check(const std::string& name);
  Result<agent::RestoreReply> restore(const agent::RestoreRequest& request);
  Result<void> migrate(const agent::MigrateRequest& request,
                       const std::function<void(const agent::MigrationEvent&)>& on_event);
  Result<agent::MigrationPlan> check_migration(const agent::MigrateRequest& request);
  Result<agent::ListMigrationsReply> list_migrations();
  Result<agent::Migration> show_migration(const std::string& name);
  Result<void> cancel_migration(const std::string& name);
  Result<agent::Migration> set_migration_limits(const agent::MigrationLimits& limits);
  Result<agent::PredictReply> predict(const agent::PredictRequest& request);
  Result<agent::HistoryReply> migration_history(const agent::HistoryRequest& request);

  Result<agent::InitClusterReply> init_cluster();
  Result<agent::CreateTokenReply> create_token(double valid_seconds);
  Result<agent::JoinClusterReply> join_cluster(const agent::JoinClusterRequest& request);
  Result<agent::ListHostsReply> list_hosts();
  Result<void> add_host(const agent::Host& host);
  Result<void> remove_host(const std::string& name);

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace martlet::cli
