#include "agent/migration_service.h"

#include <set>

#include "agent/interrupted_checkpoint.h"
#include "agent/migration_messages.h"
#include "agent/migration_options.h"
#include "agent/predictor.h"
#include "base/log.h"
#include "migrate/migration_source.h"

namespace martlet::agent {
namespace {

// The address that peers are served at, at a port of the kernel's choice.
migrate::Endpoint listen_endpoint(const AgentConfig& config) {
  return {.host = config.listen.substr(0, config.listen.rfind(':')), .port = "0"};
}

}  // namespace

Result<std::unique_ptr<MigrationService>> MigrationService::open(const AgentConfig& config,
                                                                 ContainerManager& manager,
                                                                 Membership& membership) {
  auto journal = TRY(migrate::Journal::open(config.state_dir + "/migrations"));
  auto faults = TRY(migrate::parse_fault(config.fault));
  auto stopping = TRY(migrate::Cancellation::create());
  std::unique_ptr<MigrationService> service(new MigrationService(
      config, manager, membership, std::move(journal), std::move(faults), std::move(stopping)));
  TRY(service->settle(manager));
  service->predictor_ = TRY(Predictor::open(
      config, manager, membership,
      [self = service.get()](const std::string& host) { return self->probe_link(host); }));
  return service;
}

MigrationService::MigrationService(const AgentConfig& config, ContainerManager& manager,
                                   Membership& membership, migrate::Journal journal,
                                   std::unique_ptr<migrate::FaultPoint> faults,
                                   migrate::Cancellation stopping)
    : config_(config),
      membership_(membership),
      host_(config, manager, membership),
      journal_(std::move(journal)),
      faults_(std::move(faults)),
      stopping_(std::move(stopping)),
      memory_(host_, journal_, stopping_, keeper_directory(config.state_dir)),
      list_(clock_, config.name) {}

MigrationService::~MigrationService() {
  stop();
}

void MigrationService::stop() {
  stopping_.cancel();
  std::vector<std::thread> finishers;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [container, running] : running_) running.cancellation.cancel();
    finishers.swap(finishers_);
  }
  for (std::thread& finisher : finishers) finisher.join();
}

// What is of no migration's concern may have been left by a checkpoint.
Result<void> MigrationService::settle(ContainerManager& manager) {
  std::set<std::string> migrating;
  for (const migrate::JournalEntry& entry : TRY(journal_.list())) migrating.insert(entry.container);
  unfinished_ = TRY(migrate::recover_migrations(host_, journal_, &memory_));
  for (const Container& container : manager.list())
    if (container.record.state() == STATE_RUNNING && !migrating.contains(container.name()))
      if (auto goes_on = go_on_after_checkpoint(manager, container.name()); !goes_on)
        spdlog::error("container {}: {}", container.name(), goes_on.error().to_string());
  return {};
}

Result<void> MigrationService::start() {
  const std::lock_guard lock(mutex_);
  if (server_) return {};
  const std::string pki = config_.state_dir + "/pki/";
  tls_ = std::make_unique<migrate::TlsContext>(TRY(migrate::TlsContext::load(
      {.authority = pki + "ca.crt", .certificate = pki + "host.crt", .key = pki + "host.key"})));
  environment_ = std::make_unique<migrate::Environment>(
      migrate::Environment{host_, *tls_, journal_, *faults_, clock_, stopping_, &list_, &memory_});
  server_ = TRY(migrate::MigrationServer::start(*environment_, listen_endpoint(config_)));
  finish_in_background(std::exchange(unfinished_, {}));
  return {};
}

void MigrationService::finish_in_background(std::vector<migrate::Unfinished> unfinished) {
  for (migrate::Unfinished& one : unfinished)
    finishers_.emplace_back([this, left = std::move(one)]() mutable {
      migrate::finish_migration(*environment_, std::move(left));
    });
}

uint16_t MigrationService::port() const {
  const std::lock_guard lock(mutex_);
  return server_ ? server_->port() : 0;
}

// Keeps the list up to date, then passes on what it is told.
class MigrationService::Recorder final : public migrate::Observer {
 public:
  Recorder(MigrationService& service, Migration migration, migrate::Observer& next)
      : service_(service), migration_(std::move(migration)), next_(next) {}

  void on_begin(const std::string& id) override {
    migration_.set_id(id);
    service_.list_.begin(migration_);
    const std::lock_guard lock(service_.mutex_);
    service_.running_.at(migration_.container()).id = id;
  }
  void on_progress(const migrate::Progress& progress) override {
    change([&](Migration& listed) { *listed.mutable_progress() = to_message(progress); });
    next_.on_progress(progress);
  }
  void on_stage_done(const migrate::StageReport& stage) override {
    change([&](Migration& listed) { *listed.add_stages() = to_message(stage); });
    next_.on_stage_done(stage);
  }
  void end(const Result<migrate::MigrationReport>& report) {
    if (report) change([&](Migration& listed) { listed.set_pause_seconds(report->pause_seconds); });
    service_.list_.end(migration_.id(), report ? Result<void>() : std::unexpected(report.error()));
  }

 private:
  void change(const std::function<void(Migration&)>& change) {
    service_.list_.change(migration_.id(), change);
  }

  MigrationService& service_;
  Migration migration_;
  migrate::Observer& next_;
};

Result<migrate::LinkMeasurement> MigrationService::probe_link(const std::string& host) {
  const migrate::Environment* environment = nullptr;
  {
    const std::lock_guard lock(mutex_);
    environment = environment_.get();  // once made, it stays
  }
  if (!environment) return fail(Code::kUnsupported, "this host is not a member of a cluster");
  return migrate::probe_link(*environment, host);
}

Result<const migrate::Environment*> MigrationService::environment_for(const std::string& container,
                                                                      const std::string& host) {
  if (host == config_.name)
    return fail(Code::kInvalidArgument, "container " + container + " is on " + host + " already");
  TRY(membership_.find_host(host));
  const std::lock_guard lock(mutex_);
  if (!environment_) return fail(Code::kUnsupported, "this host is not a member of a cluster");
  return environment_.get();
}

Result<migrate::MigrationReport> MigrationService::migrate(const std::string& container,
                                                           const std::string& host,
                                                           const migrate::Options& options,
                                                           migrate::Observer& observer) {
  const migrate::Environment* environment = TRY(environment_for(container, host));
  auto cancellation = TRY(migrate::Cancellation::create());
  migrate::Tuning tuning(options);
  {
    const std::lock_guard lock(mutex_);
    TRY_IN(stopping_.check(), "the agent stops");
    if (!running_.try_emplace(container, Running{{}, cancellation, tuning}).second)
      return fail(Code::kAlreadyExists, "container " + container + " is being moved already");
  }
  Migration migration;
  migration.set_container(container);
  migration.set_source(config_.name);
  migration.set_destination(host);
  *migration.mutable_options() = to_message(options);
  Recorder recorder(*this, std::move(migration), observer);
  const auto move = [&]() -> Result<migrate::MigrationReport> {
    const MovePlan plan = TRY(predictor_->plan(container, host, options));
    auto moved = TRY(migrate::migrate_container(*environment, container, host, plan.options, tuning,
                                                cancellation, recorder));
    moved.predicted = plan.prediction;
    moved.reason = plan.reason;
    predictor_->record(plan, moved);
    return moved;
  };
  auto report = move();
  recorder.end(report);
  const std::lock_guard lock(mutex_);
  running_.erase(container);
  if (!stopping_.cancelled()) finish_in_background(migrate::remains_of(container, journal_));
  return report;
}

Result<migrate::Feasibility> MigrationService::check(const std::string& container,
                                                     const std::string& host) {
  const migrate::Environment* environment = TRY(environment_for(container, host));
  auto cancellation = TRY(migrate::Cancellation::create());
  return migrate::check_migration(*environment, container, host, cancellation);
}

Result<MigrationService::Running*> MigrationService::find_running(const std::string& container) {
  const auto found = running_.find(container);
  if (found != running_.end()) return &found->second;
  const auto listed = list_.find(container);
  if (listed && listed->state() == MIGRATION_RUNNING)
    return std::unexpected(
        Error(Code::kNotFound,
              "container " + container + " is being moved here from " + listed->source())
            .with_remedy("only the source can control it: ask the agent of " + listed->source()));
  return fail(Code::kNotFound, "container " + container + " is not being moved");
}

Result<void> MigrationService::cancel(const std::string& container) {
  const std::lock_guard lock(mutex_);
  TRY(find_running(container))->cancellation.cancel();
  return {};
}

Result<Migration> MigrationService::set_limits(const MigrationLimits& limits) {
  if (!limits.has_bandwidth() && !limits.has_max_pause_ns())
    return fail(Code::kInvalidArgument, "nothing to set: give bandwidth or max-pause");
  TRY(check_bandwidth(limits.bandwidth()));
  if (limits.has_max_pause_ns()) TRY(check_max_pause(Nanoseconds(limits.max_pause_ns())));
  const std::lock_guard lock(mutex_);
  const Running& running = *TRY(find_running(limits.name()));
  if (limits.has_bandwidth()) running.tuning.bandwidth = limits.bandwidth();
  if (limits.has_max_pause_ns()) running.tuning.max_pause = Nanoseconds(limits.max_pause_ns());
  list_.change(running.id, [&](Migration& listed) {
    if (limits.has_bandwidth()) listed.mutable_options()->set_bandwidth(limits.bandwidth());
    if (limits.has_max_pause_ns())
      listed.mutable_options()->set_max_pause_ns(limits.max_pause_ns());
  });
  return list_.find(running.id);
}

}  // namespace martlet::agent
