// Migrations to and from this host: starts, cancels and serves them, and settles what an earlier
// agent left unfinished.
//
// All functions may be called from any thread. migrate() blocks on its caller's thread, which
// traces the container meanwhile.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/agent_config.h"
#include "agent/migration_host.h"
#include "migrate/environment.h"
#include "migrate/migration_server.h"
#include "migrate/stages.h"

namespace martlet::agent {

class MigrationService {
 public:
  // Opens the journal and settles what needs no other host; before anything else is served.
  static Result<std::unique_ptr<MigrationService>> open(const AgentConfig& config,
                                                        ContainerManager& manager,
                                                        Membership& membership);
  ~MigrationService();

  // Listens for other hosts. Needs the host's identity, so: once it is a member of a cluster. Does
  // nothing if it listens already.
  Result<void> start();
  // Where it listens; 0: not yet.
  uint16_t port() const;

  Result<migrate::MigrationReport> migrate(const std::string& container, const std::string& host,
                                           migrate::Observer& observer);
  // kNotFound if the container is not being moved. Past the commit it has no effect.
  Result<void> cancel(const std::string& container);

 private:
  MigrationService(const AgentConfig& config, ContainerManager& manager, Membership& membership,
                   migrate::Journal journal, std::unique_ptr<migrate::FaultPoint> faults);
  Result<void> settle();
  void resolve_in_background();

  const AgentConfig& config_;
  Membership& membership_;
  MigrationHost host_;
  migrate::Journal journal_;
  std::unique_ptr<migrate::FaultPoint> faults_;
  SystemClock clock_;

  mutable std::mutex mutex_;  // guards what follows
  std::unique_ptr<migrate::TlsContext> tls_;
  std::unique_ptr<migrate::Environment> environment_;
  std::unique_ptr<migrate::MigrationServer> server_;
  std::map<std::string, migrate::Cancellation*> running_;  // by container
  std::vector<migrate::JournalEntry> in_doubt_;
};

}  // namespace martlet::agent
