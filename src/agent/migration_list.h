// The migrations from and to this host: those under way and the last ones that ended.
//
// All functions may be called from any thread.
#pragma once

#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <vector>

#include "agent/api.pb.h"
#include "base/clock.h"
#include "base/result.h"
#include "migrate/arrivals.h"

namespace martlet::agent {

class MigrationList final : public migrate::Arrivals {
 public:
  static constexpr size_t kMaxEnded = 100;

  MigrationList(const Clock& clock, std::string host) : clock_(clock), host_(std::move(host)) {}

  // Adds one that is under way now. Its id, container, source and destination are set.
  void begin(Migration migration);
  // Does nothing for an id that is not listed.
  void change(const std::string& id, const std::function<void(Migration&)>& change);
  void end(const std::string& id, const Result<void>& outcome);

  // Newest first.
  std::vector<Migration> all() const;
  // `name` is a container, whose newest migration is meant, or the beginning of an id.
  Result<Migration> find(const std::string& name) const;

  // Those to this host.
  void on_begin(const std::string& migration, const std::string& container,
                const std::string& source) override;
  void on_stage(const std::string& migration, migrate::Stage stage) override;
  void on_end(const std::string& migration, const Result<void>& outcome) override;

 private:
  struct Entry {
    Migration migration;
    Nanoseconds began;
  };
  Migration snapshot(const Entry& entry) const;
  void forget_oldest();

  const Clock& clock_;
  const std::string host_;
  mutable std::mutex mutex_;  // guards what follows
  std::list<Entry> entries_;  // newest first
};

}  // namespace martlet::agent
