// Calls of the local API that capture, restore or move the state of a container.
#include "agent/container_checkpoint.h"
#include "agent/local_service.h"
#include "agent/rpc_status.h"

namespace martlet::agent {
namespace {

MigrationStage to_stage(const migrate::StageReport& report) {
  MigrationStage stage;
  stage.set_number(static_cast<uint32_t>(report.stage));
  stage.set_name(std::string(migrate::stage_name(report.stage)));
  stage.set_seconds(report.seconds);
  stage.set_bytes(report.bytes);
  return stage;
}

MigrationSummary to_summary(const migrate::MigrationReport& report) {
  MigrationSummary summary;
  summary.set_container(report.container);
  summary.set_source(report.source);
  summary.set_destination(report.destination);
  for (const migrate::StageReport& stage : report.stages) *summary.add_stages() = to_stage(stage);
  summary.set_pause_seconds(report.pause_seconds);
  summary.set_total_seconds(report.total_seconds);
  summary.set_bytes(report.bytes);
  return summary;
}

// Passes the progress on to the caller; one that went away does not stop the migration.
class EventWriter final : public migrate::Observer {
 public:
  explicit EventWriter(grpc::ServerWriter<MigrationEvent>& writer) : writer_(writer) {}

  void on_progress(const migrate::Progress& progress) override {
    MigrationEvent event;
    *event.mutable_progress()->mutable_stage() =
        to_stage({.stage = progress.stage, .bytes = progress.bytes});
    event.mutable_progress()->set_expected_bytes(progress.expected_bytes);
    event.mutable_progress()->set_bytes_per_second(progress.bytes_per_second);
    writer_.Write(event);
  }
  void on_stage_done(const migrate::StageReport& stage) override {
    MigrationEvent event;
    *event.mutable_stage_done() = to_stage(stage);
    writer_.Write(event);
  }

 private:
  grpc::ServerWriter<MigrationEvent>& writer_;
};

}  // namespace

grpc::Status LocalService::Checkpoint(grpc::ServerContext*, const CheckpointRequest* request,
                                      CheckpointReply* reply) {
  auto afterwards = request->leave_running() ? checkpoint::Afterwards::kLeaveRunning
                                             : checkpoint::Afterwards::kKill;
  auto report = checkpoint_container(manager_, request->name(), request->directory(), afterwards);
  if (!report) return to_status(report.error());
  reply->set_processes(report->stats.processes);
  reply->set_threads(report->stats.threads);
  reply->set_memory_bytes(report->stats.memory_bytes);
  reply->set_freeze_seconds(report->stats.freeze_seconds);
  reply->set_capture_seconds(report->stats.capture_seconds);
  reply->set_frozen_seconds(report->frozen_seconds);
  reply->set_image_bytes(report->image_bytes);
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

grpc::Status LocalService::Migrate(grpc::ServerContext*, const MigrateRequest* request,
                                   grpc::ServerWriter<MigrationEvent>* writer) {
  EventWriter events(*writer);
  auto report = migrations_.migrate(request->name(), request->host(), events);
  if (!report) return to_status(report.error());
  MigrationEvent event;
  *event.mutable_summary() = to_summary(*report);
  writer->Write(event);
  return grpc::Status::OK;
}

grpc::Status LocalService::CancelMigration(grpc::ServerContext*, const NameRequest* request,
                                           Empty*) {
  return to_status(migrations_.cancel(request->name()));
}

}  // namespace martlet::agent
