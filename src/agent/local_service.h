// The local API (api.proto): each call checks its request, asks the ContainerManager and converts
// the answer. gRPC calls it from many threads at a time. One .cc file for each group of calls.
#pragma once

#include <grpcpp/server_context.h>

#include "agent/agent_config.h"
#include "agent/api.grpc.pb.h"
#include "agent/container_manager.h"
#include "agent/membership.h"
#include "agent/migration_service.h"
#include "agent/peer_server.h"

namespace martlet::agent {

class LocalService final : public Local::Service {
 public:
  LocalService(const AgentConfig& config, ContainerManager& manager, Membership& membership,
               PeerServer& peers, MigrationService& migrations)
      : config_(config),
        manager_(manager),
        membership_(membership),
        peers_(peers),
        migrations_(migrations) {}

  // local_service.cc
  grpc::Status Info(grpc::ServerContext*, const InfoRequest*, HostInfo* reply) override;
  grpc::Status Run(grpc::ServerContext*, const RunRequest* request, ContainerInfo* reply) override;
  grpc::Status List(grpc::ServerContext*, const ListRequest*, ListReply* reply) override;
  grpc::Status Inspect(grpc::ServerContext*, const NameRequest* request,
                       ContainerInfo* reply) override;
  grpc::Status Stop(grpc::ServerContext*, const StopRequest* request,
                    ContainerInfo* reply) override;
  grpc::Status Remove(grpc::ServerContext*, const RemoveRequest* request, Empty*) override;
  grpc::Status Pause(grpc::ServerContext*, const NameRequest* request,
                     ContainerInfo* reply) override;
  grpc::Status Unpause(grpc::ServerContext*, const NameRequest* request,
                       ContainerInfo* reply) override;

  // local_service_streams.cc
  grpc::Status Logs(grpc::ServerContext* context, const LogsRequest* request,
                    grpc::ServerWriter<LogChunk>* writer) override;
  grpc::Status Exec(grpc::ServerContext* context, const ExecRequest* request,
                    grpc::ServerWriter<ExecEvent>* writer) override;

  // local_service_state.cc
  grpc::Status Checkpoint(grpc::ServerContext*, const CheckpointRequest* request,
                          CheckpointReply* reply) override;
  grpc::Status Check(grpc::ServerContext*, const NameRequest* request, CheckReply* reply) override;
  grpc::Status Restore(grpc::ServerContext*, const RestoreRequest* request,
                       RestoreReply* reply) override;

  // local_service_migration.cc
  grpc::Status Migrate(grpc::ServerContext* context, const MigrateRequest* request,
                       grpc::ServerWriter<MigrationEvent>* writer) override;
  grpc::Status CheckMigration(grpc::ServerContext*, const MigrateRequest* request,
                              MigrationPlan* reply) override;
  grpc::Status ListMigrations(grpc::ServerContext*, const ListMigrationsRequest*,
                              ListMigrationsReply* reply) override;
  grpc::Status ShowMigration(grpc::ServerContext*, const NameRequest* request,
                             Migration* reply) override;
  grpc::Status CancelMigration(grpc::ServerContext*, const NameRequest* request, Empty*) override;
  grpc::Status SetMigrationLimits(grpc::ServerContext*, const MigrationLimits* request,
                                  Migration* reply) override;

  // local_service_prediction.cc
  grpc::Status Predict(grpc::ServerContext*, const PredictRequest* request,
                       PredictReply* reply) override;
  grpc::Status MigrationHistory(grpc::ServerContext*, const HistoryRequest* request,
                                HistoryReply* reply) override;

  // local_service_cluster.cc
  grpc::Status InitCluster(grpc::ServerContext*, const InitClusterRequest*,
                           InitClusterReply* reply) override;
  grpc::Status CreateToken(grpc::ServerContext*, const CreateTokenRequest* request,
                           CreateTokenReply* reply) override;
  grpc::Status JoinCluster(grpc::ServerContext*, const JoinClusterRequest* request,
                           JoinClusterReply* reply) override;
  grpc::Status ListHosts(grpc::ServerContext*, const ListHostsRequest*,
                         ListHostsReply* reply) override;
  grpc::Status AddHost(grpc::ServerContext*, const Host* request, Empty*) override;
  grpc::Status RemoveHost(grpc::ServerContext*, const NameRequest* request, Empty*) override;

 private:
  const AgentConfig& config_;
  ContainerManager& manager_;
  Membership& membership_;
  PeerServer& peers_;
  MigrationService& migrations_;
};

// A container as the API shows it.
ContainerInfo to_info(const Container& container);

}  // namespace martlet::agent
