// The moves of a grid, one after another: each cell is a fresh container on the first host that is
// moved to the second while its client asks.
#pragma once

#include <string>
#include <vector>

#include "agent/api.pb.h"
#include "models/design/stand_comparison.h"
#include "stand/place.h"

namespace martlet::stand {

struct FailedCell {
  models::StandCell cell;
  Error error;
};

struct Outcome {
  std::vector<models::MovedCell> moved;
  std::vector<FailedCell> failed;
};

// Told what goes on, on the caller's thread.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void begins(const std::string& what) = 0;
  virtual void begins(size_t number, size_t of, const models::StandCell& cell) = 0;
  virtual void migrates(const agent::MigrationProgress& progress) = 0;
  virtual void moved(const models::MovedCell& cell) = 0;
  virtual void failed(const FailedCell& cell) = 0;
};

// Inside of sys/seclusion. A move that fails is noted, and the next cell begins; an error is what
// leaves no way to go on.
Result<Outcome> run_grid(const models::StandGrid& grid, const Place& place, Observer& observer);

// What the agents remember of a move, beside what was declared.
models::MovedCell moved_cell(const models::StandGrid& grid, const models::StandCell& cell,
                             const agent::MoveRecord& record);

}  // namespace martlet::stand
