// What can happen in a single server and in a cluster of two.
#pragma once

#include <compare>
#include <string>
#include <vector>

#include "models/design/infrastructure.h"

namespace martlet::models {

enum class Health {
  kOk,
  kSyncing,  // works, its disks are being brought up to date
  kServerWaits,
  kServerRepair,
  kDiskWaits,
  kDiskRepair,
  kAbsent,  // there is no second machine
};

enum class Phase {
  kRunning,
  kRestarting,  // the service starts on the machine that took over
  kHelpless,    // the fail-over has failed, and nobody is there
  kRecovering,  // someone repairs the fail-over by hand
  kMoving,      // the pause of the move back
  kDown,        // no machine works
};

struct PairState {
  Health active = Health::kOk;  // where the service is, or will be; when down, the first of both
  Health other = Health::kOk;
  Phase phase = Phase::kRunning;
  bool shadowed = false;  // FT: a shadow copy runs on the other machine
  bool away = false;      // with a move back: the active machine is not the service's home
  InfrastructureState infrastructure;
  auto operator<=>(const PairState&) const = default;
};

class PairRules {
 public:
  explicit PairRules(const DesignOptions& options) : options_(options), infrastructure_(options_) {}

  PairState initial() const;
  std::vector<Step<PairState>> steps(const PairState& state) const;
  std::string name(const PairState& state) const;
  Service service(const PairState& state) const;
  Expression reward(const PairState& state) const;

 private:
  using Steps = std::vector<Step<PairState>>;
  bool is_single() const { return options_.design == Design::kSingle; }
  bool moves_back() const {
    return options_.design == Design::kHa && options_.move_back == MoveBack::kYes;
  }
  // What becomes of a service whose fail-over fails.
  Phase without_coverage() const {
    return options_.repair == Repair::kVisit ? Phase::kHelpless : Phase::kRecovering;
  }
  bool is_rebuilding(const PairState& state) const;
  int in_repair(const PairState& state) const;
  PairState in_order(PairState state) const;
  Health broken(bool disk) const;
  PairState take_over(const PairState& state, Phase phase) const;
  void fail_active(const PairState& state, bool disk, Steps& steps) const;
  void fail_other(const PairState& state, bool disk, Steps& steps) const;
  void add_failures(const PairState& state, Steps& steps) const;
  void add_repairs(const PairState& state, Steps& steps) const;
  void add_visit(const PairState& state, Steps& steps) const;
  void add_service(const PairState& state, Steps& steps) const;
  void add_infrastructure(const PairState& state, Steps& steps) const;

  DesignOptions options_;
  Infrastructure infrastructure_;
};

}  // namespace martlet::models
