// Emptying a host before its power is cut: which services can be moved away in time, in which order
// and mode.
//
// One move after another has the whole link; several at once would share it and end no sooner. A
// move counts when the destination has everything; what the source then tidies up does not matter.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/design/plan.h"
#include "models/design/planned_move.h"

namespace martlet::models {

struct Evacuation {
  std::string title;
  double bytes_per_second = 0;  // of the host's link
  Storage storage = Storage::kReplicated;
  double longest_pause_seconds = 0;  // 0: no limit
  Assumptions assumptions;
  std::vector<ServiceClass> services;
};

Result<Evacuation> parse_evacuation(std::string_view text);

struct EvacuationMove {
  std::string service;  // with a number if there are several
  int priority = 1;
  MoveMode mode = MoveMode::kStop;
  double pause_seconds = 0;  // upper bounds
  double seconds = 0;
  double end_seconds = 0;  // since the evacuation began; 0 if it does not fit
};

struct EvacuationPlan {
  std::vector<EvacuationMove> moved;  // in order: highest priority first, then the shortest
  std::vector<EvacuationMove> left;   // what does not fit into the time
  double seconds_for_all = 0;         // the deadline that would do
};

// The moves with the largest sum of priorities whose upper bounds fit into the time together
// (0-1 knapsack over 4000 slots of the time, each move rounded up). At most 2000 services.
Result<EvacuationPlan> plan_evacuation(const Evacuation& evacuation, double deadline_seconds);

}  // namespace martlet::models
