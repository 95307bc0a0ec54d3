// Migrations to and from this host: starts, controls and serves them, and settles what an earlier
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
#include "agent/migration_list.h"
#include "migrate/environment.h"
#include "migrate/link_probe.h"
#include "migrate/migration_server.h"
#include "migrate/options.h"
#include "migrate/preflight.h"
#include "migrate/recovery.h"
#include "migrate/stages.h"

namespace martlet::agent {

class Predictor;

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
  // Rolls back what can be, leaves the rest to the next agent, and waits for that. Nothing starts
  // afterwards.
  void stop();
  // Where it listens; 0: not yet.
  uint16_t port() const;

  Result<migrate::MigrationReport> migrate(const std::string& container, const std::string& host,
                                           const migrate::Options& options,
                                           migrate::Observer& observer);
  // What a migration would need, or why the host cannot take the container. Nothing is changed.
  Result<migrate::Feasibility> check(const std::string& container, const std::string& host);
  // kNotFound if the container is not being moved. Past the commit it has no effect.
  Result<void> cancel(const std::string& container);
  // Of a migration from this host that is under way.
  Result<Migration> set_limits(const MigrationLimits& limits);
  const MigrationList& list() const { return list_; }
  // What a move would take, and what earlier ones took.
  Predictor& predictor() { return *predictor_; }

 private:
  MigrationService(const AgentConfig& config, ContainerManager& manager, Membership& membership,
                   migrate::Journal journal, std::unique_ptr<migrate::FaultPoint> faults,
                   migrate::Cancellation stopping);
  // What others may do to a migration under way.
  struct Running {
    std::string id;  // empty until it has one
    migrate::Cancellation& cancellation;
    migrate::Tuning& tuning;
  };
  class Recorder;

  Result<const migrate::Environment*> environment_for(const std::string& container,
                                                      const std::string& host);
  // The mutex must be held.
  Result<Running*> find_running(const std::string& container);
  Result<void> settle(ContainerManager& manager);
  void finish_in_background(std::vector<migrate::Unfinished> unfinished);
  Result<migrate::LinkMeasurement> probe_link(const std::string& host);

  const AgentConfig& config_;
  Membership& membership_;
  MigrationHost host_;
  migrate::Journal journal_;
  std::unique_ptr<migrate::FaultPoint> faults_;
  SystemClock clock_;
  migrate::Cancellation stopping_;
  migrate::MemoryArrivals memory_;
  MigrationList list_;
  std::unique_ptr<Predictor> predictor_;

  mutable std::mutex mutex_;  // guards what follows
  std::unique_ptr<migrate::TlsContext> tls_;
  std::unique_ptr<migrate::Environment> environment_;
  std::unique_ptr<migrate::MigrationServer> server_;
  std::map<std::string, Running> running_;       // by container
  std::vector<migrate::Unfinished> unfinished_;  // until start()
  std::vector<std::thread> finishers_;
};

}  // namespace martlet::agent
