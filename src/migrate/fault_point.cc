#include "migrate/fault_point.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "base/check.h"
#include "base/log.h"

namespace martlet::migrate {

namespace {

constexpr std::array kSteps = {
    FaultStep{"source.begun", Owner::kSource},
    FaultStep{"destination.accepted", Owner::kSource},
    FaultStep{"source.preflight", Owner::kSource},
    FaultStep{"source.first-copy", Owner::kSource},
    FaultStep{"destination.sandbox", Owner::kSource},
    FaultStep{"source.sandbox", Owner::kSource},
    FaultStep{"destination.restoring", Owner::kSource},
    FaultStep{"source.prepared", Owner::kSource, PassedBy::kModeStop},
    FaultStep{"source.round", Owner::kSource, PassedBy::kModesWithRounds},  // one was sent
    FaultStep{"source.rounds", Owner::kSource, PassedBy::kModesWithRounds},
    FaultStep{"source.frozen", Owner::kSource},
    FaultStep{"source.second-copy", Owner::kSource},
    FaultStep{"source.captured", Owner::kSource},
    FaultStep{"source.held", Owner::kSource},
    FaultStep{"destination.restored", Owner::kSource},
    FaultStep{"source.restored", Owner::kSource},
    FaultStep{"source.committing", Owner::kSource},
    FaultStep{"source.asked", Owner::kUndecided},
    FaultStep{"destination.commit", Owner::kSource},
    FaultStep{"destination.committing", Owner::kSource},
    FaultStep{"destination.committed", Owner::kDestination},
    FaultStep{"destination.running", Owner::kDestination},
    FaultStep{"destination.arrived", Owner::kDestination},
    FaultStep{"destination.answered", Owner::kDestination},
    FaultStep{"source.serving", Owner::kDestination, PassedBy::kModesWithLateMemory},
    FaultStep{"source.served", Owner::kDestination, PassedBy::kModesWithLateMemory},
    FaultStep{"source.leaving", Owner::kDestination},
    FaultStep{"source.removed", Owner::kDestination},
    FaultStep{"destination.forgotten", Owner::kDestination},
    FaultStep{"source.forgotten", Owner::kDestination},
};

enum class Action { kNone, kFail, kDie, kStop, kWait };

bool is_step(const std::string& name) {
  return std::ranges::any_of(kSteps, [&](const FaultStep& step) { return step.name == name; });
}

class PlannedFault final : public FaultPoint {
 public:
  PlannedFault(std::string step, Action action) : step_(std::move(step)), action_(action) {}

  Result<void> reached(const std::string& step, const Cancellation& cancellation) override {
    CHECK(is_step(step));
    if (action_ == Action::kNone || step != step_ || happened_.exchange(true)) return {};
    spdlog::warn("fault injected at {}", step);
    switch (action_) {
      case Action::kNone: return {};
      case Action::kFail: return fail(Code::kSystem, "fault injected at " + step);
      case Action::kDie: ::kill(::getpid(), SIGKILL); return {};
      case Action::kStop: ::raise(SIGSTOP); return {};  // this very thread goes no further
      case Action::kWait: return wait(cancellation);
    }
    return {};
  }

 private:
  static Result<void> wait(const Cancellation& cancellation) {
    pollfd cancelled{.fd = cancellation.fd(), .events = POLLIN, .revents = 0};
    ::poll(&cancelled, 1, -1);
    return cancellation.check();
  }

  const std::string step_;
  const Action action_;
  std::atomic<bool> happened_ = false;
};

struct NamedAction {
  std::string_view name;
  Action action;
};
constexpr std::array kActions = {
    NamedAction{"fail", Action::kFail}, NamedAction{"die", Action::kDie},
    NamedAction{"stop", Action::kStop}, NamedAction{"wait", Action::kWait}};

}  // namespace

std::span<const FaultStep> fault_steps() {
  return kSteps;
}

Result<std::unique_ptr<FaultPoint>> parse_fault(const std::string& text) {
  if (text.empty()) return std::make_unique<PlannedFault>("", Action::kNone);
  size_t colon = text.rfind(':');
  std::string step = text.substr(0, colon);
  std::string name = colon == std::string::npos ? "" : text.substr(colon + 1);
  const auto* action = std::ranges::find(kActions, name, &NamedAction::name);
  if (action != kActions.end() && is_step(step))
    return std::make_unique<PlannedFault>(step, action->action);
  return std::unexpected(Error(Code::kInvalidArgument,
                               fmt::format("'{}' is not STEP:fail, :die, :stop or :wait", text))
                             .with_remedy("'martletd --list-faults' shows the steps"));
}

}  // namespace martlet::migrate
