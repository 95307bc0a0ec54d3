// What all machines of a cluster depend on: switches and a shared storage array.
#pragma once

#include <array>
#include <compare>
#include <string>
#include <vector>

#include "models/design/explore.h"
#include "models/design/templates.h"

namespace martlet::models {

// How many components of a kind wait for a visit, and how many are in repair.
struct BrokenCount {
  int waiting = 0;
  int in_repair = 0;
  auto operator<=>(const BrokenCount&) const = default;
};

struct InfrastructureState {
  BrokenCount switches;
  BrokenCount storage;
  auto operator<=>(const InfrastructureState&) const = default;
  int in_repair() const { return switches.in_repair + storage.in_repair; }
  bool anything_waits() const { return switches.waiting + storage.waiting > 0; }
};

class Infrastructure {
 public:
  explicit Infrastructure(const DesignOptions& options) : options_(options) {}

  bool network_works(const InfrastructureState& state) const {
    return options_.switches == 0 || working(state.switches, options_.switches) > 0;
  }
  bool works(const InfrastructureState& state) const {
    return network_works(state) && working(state.storage, arrays()) == arrays();
  }
  // The state after a visit: what waited is in repair.
  static InfrastructureState visited(InfrastructureState state);

  // Failures and repairs. `in_repair` counts everything in repair, which one crew shares.
  std::vector<Step<InfrastructureState>> steps(const InfrastructureState& state,
                                               int in_repair) const;
  // "; switch in repair", or nothing if all works.
  std::string name(const InfrastructureState& state) const;

 private:
  int arrays() const { return options_.storage == Storage::kShared ? 1 : 0; }
  static int working(const BrokenCount& broken, int all) {
    return all - broken.waiting - broken.in_repair;
  }
  DesignOptions options_;
};

// The rate at which one of `count` components in repair is ready: each has a crew, or all
// `in_repair` share one.
std::string repair_rate(const DesignOptions& options, const std::string& mu, int count,
                        int in_repair);

}  // namespace martlet::models
