// Calls of the local API that capture or restore the state of a container.
#include "agent/checkpoint_messages.h"
#include "agent/container_checkpoint.h"
#include "agent/local_service.h"
#include "agent/migration_options.h"
#include "agent/rpc_status.h"

namespace martlet::agent {
grpc::Status LocalService::Checkpoint(grpc::ServerContext*, const CheckpointRequest* request,
                                      CheckpointReply* reply) {
  auto codec = to_codec(request->compression());
  if (!codec) return to_status(codec.error());
  const checkpoint::CheckpointOptions options{
      .afterwards = request->leave_running() ? checkpoint::Afterwards::kLeaveRunning
                                             : checkpoint::Afterwards::kKill,
      .compression = *codec,
      .rounds = request->rounds()};
  auto report = checkpoint_container(manager_, request->name(), request->directory(), options);
  if (!report) return to_status(report.error());
  *reply = to_message(*report);
  return grpc::Status::OK;
}

grpc::Status LocalService::Check(grpc::ServerContext*, const NameRequest* request,
                                 CheckReply* reply) {
  auto check = check_container(manager_, request->name());
  if (!check) return to_status(check.error());
  *reply = to_message(*check);
  return grpc::Status::OK;
}

grpc::Status LocalService::Restore(grpc::ServerContext*, const RestoreRequest* request,
                                   RestoreReply* reply) {
  auto restored = restore_container(manager_, request->directory(), request->name());
  if (!restored) return to_status(restored.error());
  *reply->mutable_container() = to_info(restored->container);
  reply->set_processes(restored->stats.processes);
  reply->set_threads(restored->stats.threads);
  reply->set_memory_bytes(restored->stats.memory_bytes);
  reply->set_restore_seconds(restored->stats.build_seconds);
  return grpc::Status::OK;
}

}  // namespace martlet::agent
