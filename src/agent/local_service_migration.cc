// Calls of the local API that move containers and control what moves.
#include "agent/local_service.h"
#include "agent/migration_messages.h"
#include "agent/migration_options.h"
#include "agent/rpc_status.h"

namespace martlet::agent {
namespace {

// Passes the progress on to the caller; one that went away does not stop the migration.
class EventWriter final : public migrate::Observer {
 public:
  explicit EventWriter(grpc::ServerWriter<MigrationEvent>& writer) : writer_(writer) {}

  void on_progress(const migrate::Progress& progress) override {
    MigrationEvent event;
    *event.mutable_progress() = to_message(progress);
    writer_.Write(event);
  }
  void on_stage_done(const migrate::StageReport& stage) override {
    MigrationEvent event;
    *event.mutable_stage_done() = to_message(stage);
    writer_.Write(event);
  }

 private:
  grpc::ServerWriter<MigrationEvent>& writer_;
};

Result<void> answer_with(Result<Migration> migration, Migration& reply) {
  reply = TRY(std::move(migration));
  return {};
}

}  // namespace

grpc::Status LocalService::Migrate(grpc::ServerContext*, const MigrateRequest* request,
                                   grpc::ServerWriter<MigrationEvent>* writer) {
  EventWriter events(*writer);
  auto options = to_options(request->options());
  if (!options) return to_status(options.error());
  auto report = migrations_.migrate(request->name(), request->host(), *options, events);
  if (!report) return to_status(report.error());
  MigrationEvent event;
  *event.mutable_summary() = to_message(*report);
  writer->Write(event);
  return grpc::Status::OK;
}

grpc::Status LocalService::CheckMigration(grpc::ServerContext*, const MigrateRequest* request,
                                          MigrationPlan* reply) {
  const auto check = [&]() -> Result<void> {
    const migrate::Options options = TRY(to_options(request->options()));
    *reply = to_message(TRY(migrations_.check(request->name(), request->host())));
    *reply->mutable_options() = to_message(options);
    return {};
  };
  return to_status(check());
}

grpc::Status LocalService::ListMigrations(grpc::ServerContext*, const ListMigrationsRequest*,
                                          ListMigrationsReply* reply) {
  for (Migration& migration : migrations_.list().all())
    *reply->add_migrations() = std::move(migration);
  return grpc::Status::OK;
}

grpc::Status LocalService::ShowMigration(grpc::ServerContext*, const NameRequest* request,
                                         Migration* reply) {
  return to_status(answer_with(migrations_.list().find(request->name()), *reply));
}

grpc::Status LocalService::CancelMigration(grpc::ServerContext*, const NameRequest* request,
                                           Empty*) {
  return to_status(migrations_.cancel(request->name()));
}

grpc::Status LocalService::SetMigrationLimits(grpc::ServerContext*, const MigrationLimits* request,
                                              Migration* reply) {
  return to_status(answer_with(migrations_.set_limits(*request), *reply));
}

}  // namespace martlet::agent
