#include "migrate/fault_point.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"

namespace martlet::migrate {

namespace {

enum class Action { kNone, kFail, kDie, kWait };

class PlannedFault final : public FaultPoint {
 public:
  PlannedFault(std::string step, Action action) : step_(std::move(step)), action_(action) {}

  Result<void> reached(const std::string& step, const Cancellation& cancellation) override {
    if (action_ == Action::kNone || step != step_) return {};
    spdlog::warn("fault injected at {}", step);
    if (action_ == Action::kDie) ::kill(::getpid(), SIGKILL);
    if (action_ == Action::kWait) {
      pollfd cancelled{.fd = cancellation.fd(), .events = POLLIN, .revents = 0};
      ::poll(&cancelled, 1, -1);
      return cancellation.check();
    }
    return fail(Code::kSystem, "fault injected at " + step);
  }

 private:
  std::string step_;
  Action action_;
};

}  // namespace

Result<std::unique_ptr<FaultPoint>> parse_fault(const std::string& text) {
  if (text.empty()) return std::make_unique<PlannedFault>("", Action::kNone);
  size_t colon = text.rfind(':');
  std::string action = colon == std::string::npos ? "" : text.substr(colon + 1);
  std::string step = text.substr(0, colon);
  if (action == "fail") return std::make_unique<PlannedFault>(step, Action::kFail);
  if (action == "die") return std::make_unique<PlannedFault>(step, Action::kDie);
  if (action == "wait") return std::make_unique<PlannedFault>(step, Action::kWait);
  return fail(Code::kInvalidArgument, "'" + text + "' is not STEP:fail, STEP:die or STEP:wait");
}

}  // namespace martlet::migrate
