// What moves will take on equipment that is not there yet: models/migration.h with the costs of a
// typical host in the place of measured ones.
#pragma once

#include <optional>
#include <vector>

#include "models/design/plan.h"
#include "models/migration.h"

namespace martlet::models {

// Costs of one operation on one core of a server of about 2020, rounded: an assumption of every
// plan, shown with its results.
HostCosts typical_host();

// The inputs of a move of one service over one port.
MoveInputs planned_inputs(const ServiceClass& service, double bytes_per_second, Storage storage,
                          const Assumptions& assumptions, double longest_pause_seconds);

// All four modes, in the order of kMoveModes.
std::vector<Prediction> planned_moves(const MoveInputs& inputs);

struct PlannedMove {
  MoveMode mode = MoveMode::kStop;
  double pause_seconds = 0;  // upper bounds
  double total_seconds = 0;
  bool converges = true;  // pre-copy would come to its end
};

// Of the modes whose pause is within the limit (0: no limit) the quickest, or one that takes a
// tenth longer for a shorter pause; if none is within it, the one with the shortest pause. Rounds
// that do not converge end in a forced stop.
PlannedMove plan_move(const MoveInputs& inputs, double longest_pause_seconds);

}  // namespace martlet::models
