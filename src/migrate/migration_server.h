// Accepts migrations from other hosts.
//
// One thread listens and each connection has a thread of its own. Stopping cancels every session,
// which rolls back what is not committed, and waits for the threads.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "migrate/environment.h"
#include "migrate/migration_destination.h"

namespace martlet::migrate {

class MigrationServer {
 public:
  // `environment` and what it names outlive the server.
  static Result<std::unique_ptr<MigrationServer>> start(const Environment& environment,
                                                        const Endpoint& listen);
  ~MigrationServer();
  MigrationServer(const MigrationServer&) = delete;
  MigrationServer& operator=(const MigrationServer&) = delete;

  uint16_t port() const { return port_; }

 private:
  struct Connection {
    std::thread thread;
    bool finished = false;
  };

  MigrationServer(const Environment& environment, Fd listener, uint16_t port,
                  Cancellation cancellation);
  void accept_loop();
  void start_connection(Fd socket);
  void join_finished();
  Result<void> serve(Fd socket);
  Result<void> serve_migration(MessageChannel control, const protocol::Offer& offer,
                               const std::string& peer);
  Result<void> serve_channel(MessageChannel channel, const protocol::Channel& request,
                             const std::string& peer);
  Result<void> serve_late_memory(MessageChannel channel, const protocol::Channel& request,
                                 const std::string& peer);
  Result<void> serve_query(MessageChannel channel, const std::string& migration,
                           const std::string& peer);
  protocol::Resolution::Outcome outcome_of(const std::string& migration);

  const Environment environment_;
  Fd listener_;
  uint16_t port_;
  Cancellation cancellation_;
  std::mutex mutex_;  // guards sessions_ and connections_
  std::map<std::string, std::shared_ptr<DestinationSession>> sessions_;  // by migration
  std::list<Connection> connections_;
  std::thread listening_;
};

}  // namespace martlet::migrate
