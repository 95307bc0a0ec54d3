// Named places in a migration at which a test makes something happen.
//
// The state machines call reached() as they pass; the production implementation does nothing. The
// names are "source.STEP" and "destination.STEP" with the steps listed in docs/migration.md.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "migrate/cancellation.h"

namespace martlet::migrate {

class FaultPoint {
 public:
  virtual ~FaultPoint() = default;
  // An error makes the step fail with it.
  virtual Result<void> reached(const std::string& step, const Cancellation& cancellation) = 0;
};

// "STEP:ACTION", where the action is `fail` (the step fails), `die` (this process is killed on the
// spot) or `wait` (until the migration is cancelled). An empty text does nothing.
Result<std::unique_ptr<FaultPoint>> parse_fault(const std::string& text);

}  // namespace martlet::migrate
