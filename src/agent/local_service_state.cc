// Calls of the local API that capture, restore or move the state of a container.
#include "agent/local_service.h"
#include "agent/rpc_status.h"

namespace martlet::agent {
namespace {

grpc::Status not_yet(const char* what) {
  return to_status(
      Error(Code::kUnsupported, std::string(what) + " is not supported by this agent"));
}

}  // namespace

grpc::Status LocalService::Checkpoint(grpc::ServerContext*, const CheckpointRequest*,
                                      CheckpointReply*) {
  return not_yet("checkpoint");
}

grpc::Status LocalService::Restore(grpc::ServerContext*, const RestoreRequest*, RestoreReply*) {
  return not_yet("restore");
}

grpc::Status LocalService::Migrate(grpc::ServerContext*, const MigrateRequest*,
                                   grpc::ServerWriter<MigrationEvent>*) {
  return not_yet("migration");
}

grpc::Status LocalService::CancelMigration(grpc::ServerContext*, const NameRequest*, Empty*) {
  return not_yet("migration");
}

}  // namespace martlet::agent
