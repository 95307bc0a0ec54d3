#include "models/design/pair_rules.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace martlet::models {
namespace {

bool in_repair(Health health) {
  return health == Health::kServerRepair || health == Health::kDiskRepair;
}
bool waits(Health health) {
  return health == Health::kServerWaits || health == Health::kDiskWaits;
}
bool can_fail(Health health) {
  return health == Health::kOk || health == Health::kSyncing;
}
Health visited(Health health) {
  if (health == Health::kServerWaits) return Health::kServerRepair;
  return health == Health::kDiskWaits ? Health::kDiskRepair : health;
}

std::string_view health_name(Health health) {
  constexpr std::array<std::string_view, 7> kNames = {
      "ok",         "syncing",        "server waits", "server in repair",
      "disk waits", "disk in repair", "absent"};
  return kNames[static_cast<size_t>(health)];
}

}  // namespace

PairState PairRules::initial() const {
  PairState state;
  if (is_single()) state.other = Health::kAbsent;
  state.shadowed = options_.design == Design::kFt;
  return state;
}

bool PairRules::is_rebuilding(const PairState& state) const {
  return options_.design == Design::kFt && state.phase == Phase::kRunning &&
         state.other == Health::kOk && !state.shadowed;
}

// Machines that are both down are not told apart, except by which is the home.
PairState PairRules::in_order(PairState state) const {
  if (state.phase == Phase::kDown && state.other != Health::kAbsent && state.other < state.active) {
    std::swap(state.active, state.other);
    if (moves_back()) state.away = !state.away;
  }
  return state;
}

int PairRules::in_repair(const PairState& state) const {
  return models::in_repair(state.active) + models::in_repair(state.other) +
         state.infrastructure.in_repair();
}

Health PairRules::broken(bool disk) const {
  if (options_.repair == Repair::kVisit) return disk ? Health::kDiskWaits : Health::kServerWaits;
  return disk ? Health::kDiskRepair : Health::kServerRepair;
}

// The other machine takes over.
PairState PairRules::take_over(const PairState& state, Phase phase) const {
  PairState next = state;
  std::swap(next.active, next.other);
  next.phase = phase;
  next.shadowed = false;
  if (moves_back()) next.away = !state.away;
  return next;
}

void PairRules::fail_active(const PairState& state, bool disk, Steps& steps) const {
  const std::string rate = disk ? "lambda_d" : "lambda_s";
  const std::string label = disk ? "disk fails" : "server fails";
  PairState next = state;
  next.active = broken(disk);
  if (state.other != Health::kOk) {
    next.phase = Phase::kDown;
    next.shadowed = false;
    steps.push_back({rate, label, in_order(next)});
    return;
  }
  if (state.phase != Phase::kRunning && state.phase != Phase::kMoving) {
    steps.push_back({rate, label, take_over(next, state.phase)});
    return;
  }
  const Phase covered = state.shadowed ? Phase::kRunning : Phase::kRestarting;
  steps.push_back({"c*" + rate, label, take_over(next, covered)});
  steps.push_back(
      {"(1-c)*" + rate, label + ", fail-over too", take_over(next, without_coverage())});
}

// With a shadow, what the service sends waits for the shadow to have the same state; so the loss of
// the shadow, too, must be noticed for the service to go on.
void PairRules::fail_other(const PairState& state, bool disk, Steps& steps) const {
  const std::string rate = disk ? "lambda_d" : "lambda_s";
  const std::string label = disk ? "other disk fails" : "other server fails";
  PairState next = state;
  next.other = broken(disk);
  next.shadowed = false;
  if (next.phase == Phase::kMoving) next.phase = Phase::kRunning;  // the move is rolled back
  if (!state.shadowed) {
    steps.push_back({rate, label, in_order(next)});
    return;
  }
  steps.push_back({"c*" + rate, label, next});
  next.phase = without_coverage();
  steps.push_back({"(1-c)*" + rate, label + " unnoticed", next});
}

void PairRules::add_failures(const PairState& state, Steps& steps) const {
  for (const bool disk : {false, true}) {
    if (disk && options_.storage == Storage::kShared) continue;
    if (can_fail(state.active)) fail_active(state, disk, steps);
    if (can_fail(state.other)) fail_other(state, disk, steps);
  }
}

// What is repaired runs the service if nothing else does; else its disks are brought up to date.
void PairRules::add_repairs(const PairState& state, Steps& steps) const {
  const int all = in_repair(state);
  const auto rate = [&](Health health) {
    return repair_rate(options_, health == Health::kDiskRepair ? "mu_d" : "mu_s", 1, all);
  };
  if (models::in_repair(state.active)) {
    PairState next = state;
    next.active = Health::kOk;
    next.phase = Phase::kRunning;
    steps.push_back({rate(state.active), "repaired", next});
  }
  if (!models::in_repair(state.other)) return;
  PairState next = state;
  if (state.phase == Phase::kDown) {
    next.other = Health::kOk;
    next = take_over(next, Phase::kRunning);
  } else {
    next.other = options_.storage == Storage::kShared ? Health::kOk : Health::kSyncing;
  }
  steps.push_back({rate(state.other), "repaired", next});
}

void PairRules::add_visit(const PairState& state, Steps& steps) const {
  if (!waits(state.active) && !waits(state.other) && !state.infrastructure.anything_waits() &&
      state.phase != Phase::kHelpless)
    return;
  PairState next = state;
  next.active = visited(state.active);
  next.other = visited(state.other);
  next.infrastructure = Infrastructure::visited(state.infrastructure);
  if (state.phase == Phase::kHelpless) next.phase = Phase::kRecovering;
  steps.push_back({"nu", "visit", in_order(next)});
}

// What the cluster itself does: restart, recover, synchronise, build a shadow, move back.
void PairRules::add_service(const PairState& state, Steps& steps) const {
  const auto add = [&](const char* rate, const char* label, auto change) {
    PairState next = state;
    change(next);
    steps.push_back({rate, label, next});
  };
  if (state.phase == Phase::kRestarting)
    add("gamma", "restarted", [](PairState& next) { next.phase = Phase::kRunning; });
  if (state.phase == Phase::kRecovering)
    add("rho", "recovered by hand", [](PairState& next) { next.phase = Phase::kRunning; });
  if (state.phase == Phase::kMoving) {
    steps.push_back({"theta", "moved", take_over(state, Phase::kRunning)});
    return;
  }
  if (!infrastructure_.network_works(state.infrastructure)) return;
  if (state.other == Health::kSyncing && state.active == Health::kOk)
    add("sigma", "in sync", [](PairState& next) { next.other = Health::kOk; });
  if (is_rebuilding(state)) add("m", "shadow built", [](PairState& next) { next.shadowed = true; });
  if (state.away && state.phase == Phase::kRunning && state.other == Health::kOk)
    add("m", "moves back", [](PairState& next) { next.phase = Phase::kMoving; });
}

void PairRules::add_infrastructure(const PairState& state, Steps& steps) const {
  for (const auto& step : infrastructure_.steps(state.infrastructure, in_repair(state))) {
    PairState next = state;
    next.infrastructure = step.next;
    steps.push_back({step.rate, step.label, next});
  }
}

std::vector<Step<PairState>> PairRules::steps(const PairState& state) const {
  Steps steps;
  add_failures(state, steps);
  add_repairs(state, steps);
  add_visit(state, steps);
  add_service(state, steps);
  add_infrastructure(state, steps);
  return steps;
}

std::string PairRules::name(const PairState& state) const {
  constexpr std::array<std::string_view, 6> kPhases = {"running",    "restarting", "helpless",
                                                       "recovering", "moving",     "down"};
  std::string name(kPhases[static_cast<size_t>(state.phase)]);
  if (state.shadowed) name = "protected";
  if (is_rebuilding(state)) name = "rebuilding";
  if (state.away) name += " away";
  if (is_single()) {
    if (state.active != Health::kOk) name += fmt::format("; {}", health_name(state.active));
  } else if (state.phase == Phase::kDown) {
    name += fmt::format("; {}; {}", health_name(state.active), health_name(state.other));
  } else {
    name += fmt::format("; other {}", health_name(state.other));
  }
  return name + infrastructure_.name(state.infrastructure);
}

Service PairRules::service(const PairState& state) const {
  const bool stopped = is_rebuilding(state) && options_.rebuild == Rebuild::kStopped;
  const bool runs = state.phase == Phase::kRunning && !stopped;
  return runs && infrastructure_.works(state.infrastructure) ? Service::kUp : Service::kDown;
}

Expression PairRules::reward(const PairState& state) const {
  return Expression(service(state) == Service::kUp ? 1 : 0);
}

}  // namespace martlet::models
