// A selection as one page that needs nothing else.
#pragma once

#include <string>

#include "base/result.h"
#include "models/design/selection.h"

namespace martlet::cli {

// Cost against down time, the ranking, K(t) and states of the cheapest design, what to improve
// first, what was discarded and why, and everything that was assumed.
Result<std::string> plan_page(const models::Plan& plan, const models::Selection& selection);

}  // namespace martlet::cli
