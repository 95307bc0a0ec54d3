#include "agent/migration_service.h"

#include "base/log.h"
#include "migrate/migration_source.h"
#include "migrate/recovery.h"

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
  std::unique_ptr<MigrationService> service(
      new MigrationService(config, manager, membership, std::move(journal), std::move(faults)));
  TRY(service->settle());
  return service;
}

MigrationService::MigrationService(const AgentConfig& config, ContainerManager& manager,
                                   Membership& membership, migrate::Journal journal,
                                   std::unique_ptr<migrate::FaultPoint> faults)
    : config_(config),
      membership_(membership),
      host_(config, manager, membership),
      journal_(std::move(journal)),
      faults_(std::move(faults)) {}

MigrationService::~MigrationService() {
  const std::lock_guard lock(mutex_);
  for (auto& [container, cancellation] : running_) cancellation->cancel();
}

Result<void> MigrationService::settle() {
  in_doubt_ = TRY(migrate::recover_migrations(host_, journal_));
  return {};
}

Result<void> MigrationService::start() {
  const std::lock_guard lock(mutex_);
  if (server_) return {};
  const std::string pki = config_.state_dir + "/pki/";
  tls_ = std::make_unique<migrate::TlsContext>(TRY(migrate::TlsContext::load(
      {.authority = pki + "ca.crt", .certificate = pki + "host.crt", .key = pki + "host.key"})));
  environment_ = std::make_unique<migrate::Environment>(
      migrate::Environment{host_, *tls_, journal_, *faults_, clock_});
  server_ = TRY(migrate::MigrationServer::start(*environment_, listen_endpoint(config_)));
  resolve_in_background();
  return {};
}

// The threads are left to themselves: an outcome that nobody can tell must not keep the agent from
// stopping, and a container in doubt stays frozen without them.
void MigrationService::resolve_in_background() {
  for (const migrate::JournalEntry& entry : in_doubt_) {
    std::thread([environment = *environment_, entry] {
      auto resolved = migrate::resolve_in_doubt(environment, entry);
      if (!resolved)
        spdlog::error("container {}: {}", entry.container, resolved.error().to_string());
    }).detach();
  }
  in_doubt_.clear();
}

uint16_t MigrationService::port() const {
  const std::lock_guard lock(mutex_);
  return server_ ? server_->port() : 0;
}

Result<migrate::MigrationReport> MigrationService::migrate(const std::string& container,
                                                           const std::string& host,
                                                           migrate::Observer& observer) {
  if (host == config_.name)
    return fail(Code::kInvalidArgument, "container " + container + " is on " + host + " already");
  TRY(membership_.find_host(host));
  auto cancellation = TRY(migrate::Cancellation::create());
  {
    const std::lock_guard lock(mutex_);
    if (!environment_) return fail(Code::kUnsupported, "this host is not a member of a cluster");
    if (!running_.emplace(container, &cancellation).second)
      return fail(Code::kAlreadyExists, "container " + container + " is being moved already");
  }
  auto report = migrate::migrate_container(*environment_, container, host, cancellation, observer);
  const std::lock_guard lock(mutex_);
  running_.erase(container);
  return report;
}

Result<void> MigrationService::cancel(const std::string& container) {
  const std::lock_guard lock(mutex_);
  const auto found = running_.find(container);
  if (found == running_.end())
    return fail(Code::kNotFound, "container " + container + " is not being moved");
  found->second->cancel();
  return {};
}

}  // namespace martlet::agent
