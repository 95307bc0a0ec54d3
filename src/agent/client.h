// The other side of the agent's local API, for the command line and the stand. Each function is one
// call and blocks; errors carry what the agent said.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/api.pb.h"
#include "base/clock.h"
#include "base/result.h"

namespace martlet::agent {

class Client {
 public:
  // Nothing is sent yet. A call that is not done within `timeout` ends with kTimeout; without it
  // there is no limit.
  explicit Client(const std::string& socket, std::optional<Nanoseconds> timeout = {});
  ~Client();

  Result<HostInfo> info();
  Result<ContainerInfo> run(const Declaration& declaration);
  Result<ListReply> list();
  Result<ContainerInfo> inspect(const std::string& name);
  Result<ContainerInfo> stop(const std::string& name, double timeout_seconds);
  Result<void> remove(const RemoveRequest& request);
  Result<ContainerInfo> pause(const std::string& name);
  Result<ContainerInfo> unpause(const std::string& name);

  Result<void> logs(const LogsRequest& request,
                    const std::function<void(const LogChunk&)>& on_chunk);
  Result<void> exec(const ExecRequest& request,
                    const std::function<void(const ExecEvent&)>& on_event);

  Result<CheckpointReply> checkpoint(const CheckpointRequest& request);
  Result<CheckReply> check(const std::string& name);
  Result<RestoreReply> restore(const RestoreRequest& request);
  Result<void> migrate(const MigrateRequest& request,
                       const std::function<void(const MigrationEvent&)>& on_event);
  Result<MigrationPlan> check_migration(const MigrateRequest& request);
  Result<ListMigrationsReply> list_migrations();
  Result<Migration> show_migration(const std::string& name);
  Result<void> cancel_migration(const std::string& name);
  Result<Migration> set_migration_limits(const MigrationLimits& limits);
  Result<PredictReply> predict(const PredictRequest& request);
  Result<HistoryReply> migration_history(const HistoryRequest& request);

  Result<InitClusterReply> init_cluster();
  Result<CreateTokenReply> create_token(double valid_seconds);
  Result<JoinClusterReply> join_cluster(const JoinClusterRequest& request);
  Result<ListHostsReply> list_hosts();
  Result<void> add_host(const Host& host);
  Result<void> remove_host(const std::string& name);

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace martlet::agent
