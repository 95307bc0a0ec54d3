// What can happen in a pool of N hosts with k spares. Each host carries one share of the services;
// when it fails its share restarts on a spare, or waits until a host is repaired.
#pragma once

#include <compare>
#include <string>
#include <vector>

#include "models/design/infrastructure.h"

namespace martlet::models {

struct PoolState {
  BrokenCount hosts;
  int restarting = 0;  // shares of the services
  InfrastructureState infrastructure;
  auto operator<=>(const PoolState&) const = default;
};

class PoolRules {
 public:
  explicit PoolRules(const DesignOptions& options) : options_(options), infrastructure_(options_) {}

  std::vector<Step<PoolState>> steps(const PoolState& state) const;
  std::string name(const PoolState& state) const;
  // Up: all shares run.
  Service service(const PoolState& state) const;
  // The share of the services that runs.
  Expression reward(const PoolState& state) const;

 private:
  int working(const PoolState& state) const {
    return options_.hosts + options_.spares - state.hosts.waiting - state.hosts.in_repair;
  }
  int placed(const PoolState& state) const { return std::min(options_.hosts, working(state)); }
  int running(const PoolState& state) const { return placed(state) - state.restarting; }

  DesignOptions options_;
  Infrastructure infrastructure_;
};

}  // namespace martlet::models
