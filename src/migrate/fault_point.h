// Named places in a migration at which a test makes something happen.
//
// The state machines call reached() as they pass; the production implementation does nothing.
// fault_steps() lists every place, so that tests meet each of them without knowing them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "migrate/cancellation.h"

namespace martlet::migrate {

// Whom the container belongs to when a step is reached: where it runs after a failure there.
enum class Owner {
  kSource,
  kUndecided,  // the other side may or may not get that far; whoever is asked says it
  kDestination,
};

enum class PassedBy { kEveryMode, kModeStop, kModesWithRounds, kModesWithLateMemory };

struct FaultStep {
  std::string_view name;  // "source.STEP" or "destination.STEP"
  Owner owner;
  PassedBy passed_by = PassedBy::kEveryMode;
};

// In the order in which a migration reaches them.
std::span<const FaultStep> fault_steps();

class FaultPoint {
 public:
  virtual ~FaultPoint() = default;
  // An error makes the step fail with it. `step` is one of fault_steps().
  virtual Result<void> reached(const std::string& step, const Cancellation& cancellation) = 0;
};

// "STEP:ACTION", where the action happens the first time the step is reached: `fail` (the step
// fails), `die` (this process is killed on the spot), `stop` (it stops until SIGCONT) or `wait`
// (until the migration is cancelled). An empty text does nothing.
Result<std::unique_ptr<FaultPoint>> parse_fault(const std::string& text);

}  // namespace martlet::migrate
