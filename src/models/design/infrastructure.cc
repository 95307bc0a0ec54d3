#include "models/design/infrastructure.h"

#include <fmt/format.h>

namespace martlet::models {
namespace {

std::string times(int count, const std::string& rate) {
  return count == 1 ? rate : fmt::format("{}*{}", count, rate);
}

std::string broken_name(const BrokenCount& broken, const std::string& what, int all) {
  const auto part = [&](int count, const char* how) {
    if (count == 0) return std::string();
    const std::string of = all > 1 ? fmt::format("{} of {} ", count, all) : "";
    return fmt::format("; {}{} {}", of, what, how);
  };
  return part(broken.waiting, "waits") + part(broken.in_repair, "in repair");
}

}  // namespace

std::string repair_rate(const DesignOptions& options, const std::string& mu, int count,
                        int in_repair) {
  if (options.crews == Crews::kEach || in_repair <= 1) return times(count, mu);
  return count == in_repair ? mu : fmt::format("{}*{}/{}", count, mu, in_repair);
}

InfrastructureState Infrastructure::visited(InfrastructureState state) {
  for (BrokenCount* broken : {&state.switches, &state.storage}) {
    broken->in_repair += broken->waiting;
    broken->waiting = 0;
  }
  return state;
}

std::vector<Step<InfrastructureState>> Infrastructure::steps(const InfrastructureState& state,
                                                             int in_repair) const {
  std::vector<Step<InfrastructureState>> steps;
  const auto add = [&](BrokenCount InfrastructureState::* kind, int all, const std::string& suffix,
                       const std::string& what) {
    const BrokenCount& broken = state.*kind;
    if (const int left = working(broken, all); left > 0) {
      InfrastructureState next = state;
      (options_.repair == Repair::kVisit ? (next.*kind).waiting : (next.*kind).in_repair)++;
      steps.push_back({times(left, "lambda_" + suffix), what + " fails", next});
    }
    if (broken.in_repair > 0) {
      InfrastructureState next = state;
      (next.*kind).in_repair--;
      steps.push_back({repair_rate(options_, "mu_" + suffix, broken.in_repair, in_repair),
                       what + " repaired", next});
    }
  };
  add(&InfrastructureState::switches, options_.switches, "sw", "switch");
  add(&InfrastructureState::storage, arrays(), "st", "storage");
  return steps;
}

std::string Infrastructure::name(const InfrastructureState& state) const {
  return broken_name(state.switches, "switch", options_.switches) +
         broken_name(state.storage, "storage", arrays());
}

}  // namespace martlet::models
