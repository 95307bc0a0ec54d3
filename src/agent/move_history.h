// The moves that began on this host, each with what was predicted and what was measured, in a
// SQLite database of their own (STATE_DIR/moves.db). Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/api.pb.h"
#include "base/result.h"
#include "cluster/sqlite_store.h"
#include "models/experience.h"

namespace martlet::agent {

class MoveHistory {
 public:
  static Result<std::unique_ptr<MoveHistory>> open(const std::string& path);

  // Forgets the oldest beyond kKept.
  Result<void> add(const MoveRecord& move);
  // The newest first, of one container or (empty name) of all; limit 0: no limit.
  Result<std::vector<MoveRecord>> list(const std::string& container, size_t limit) const;

  // What the moves teach about one of this kind.
  Result<std::vector<models::PastMove>> past_moves(const std::string& container,
                                                   const std::string& destination,
                                                   models::MoveMode mode) const;

 private:
  static constexpr size_t kKept = 2000;
  explicit MoveHistory(std::unique_ptr<cluster::SqliteStore> store) : store_(std::move(store)) {}

  std::unique_ptr<cluster::SqliteStore> store_;
};

}  // namespace martlet::agent
