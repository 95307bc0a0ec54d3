#include "models/design/pool_rules.h"

#include <fmt/format.h>

namespace martlet::models {

std::vector<Step<PoolState>> PoolRules::steps(const PoolState& state) const {
  std::vector<Step<PoolState>> steps;
  const int spare = working(state) - placed(state);
  // One host fewer; `lost` and `begun` shares stop and start to restart.
  const auto fail = [&](int hosts, const char* label, int lost, int begun) {
    if (hosts <= 0) return;
    PoolState next = state;
    (options_.repair == Repair::kVisit ? next.hosts.waiting : next.hosts.in_repair)++;
    next.restarting += begun - lost;
    steps.push_back({fmt::format("{}*lambda_h", hosts), label, next});
  };
  const int restarted = spare > 0 ? 1 : 0;
  fail(running(state), "host fails", 0, restarted);
  fail(state.restarting, "host fails in a restart", 1, restarted);
  fail(spare, "spare fails", 0, 0);
  const int in_repair = state.hosts.in_repair + state.infrastructure.in_repair();
  if (state.hosts.in_repair > 0) {
    PoolState next = state;
    next.hosts.in_repair--;
    if (placed(state) < options_.hosts) next.restarting++;
    steps.push_back(
        {repair_rate(options_, "mu_h", state.hosts.in_repair, in_repair), "host repaired", next});
  }
  if (state.restarting > 0) {
    PoolState next = state;
    next.restarting--;
    steps.push_back({fmt::format("{}*gamma_h", state.restarting), "restarted", next});
  }
  if (state.hosts.waiting > 0 || state.infrastructure.anything_waits()) {
    PoolState next = state;
    next.hosts = {.waiting = 0, .in_repair = state.hosts.waiting + state.hosts.in_repair};
    next.infrastructure = Infrastructure::visited(state.infrastructure);
    steps.push_back({"nu", "visit", next});
  }
  for (const auto& step : infrastructure_.steps(state.infrastructure, in_repair)) {
    PoolState next = state;
    next.infrastructure = step.next;
    steps.push_back({step.rate, step.label, next});
  }
  return steps;
}

std::string PoolRules::name(const PoolState& state) const {
  std::string name = fmt::format("{} of {} run", running(state), options_.hosts);
  if (state.restarting > 0) name += fmt::format(", {} restart", state.restarting);
  if (state.hosts.waiting > 0)
    name +=
        fmt::format("; {} host{} wait", state.hosts.waiting, state.hosts.waiting > 1 ? "s" : "");
  if (state.hosts.in_repair > 0)
    name += fmt::format("; {} host{} in repair", state.hosts.in_repair,
                        state.hosts.in_repair > 1 ? "s" : "");
  return name + infrastructure_.name(state.infrastructure);
}

Service PoolRules::service(const PoolState& state) const {
  return running(state) == options_.hosts && infrastructure_.works(state.infrastructure)
             ? Service::kUp
             : Service::kDown;
}

Expression PoolRules::reward(const PoolState& state) const {
  if (!infrastructure_.works(state.infrastructure)) return Expression(0);
  return Expression(static_cast<double>(running(state)) / options_.hosts);
}

}  // namespace martlet::models
