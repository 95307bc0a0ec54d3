// What units of work cost on this host, measured in the first moments of an agent: each kind of
// work that a migration consists of is done a few times, on a child process and files made for it,
// and the fastest time counts.
//
// It takes less than 200 ms, about half of it the start of other programs. Nothing of it is left.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "models/migration.h"

namespace martlet::agent {

// `directory` is where durable files are kept. A cost that cannot be measured (a program that is
// not installed) is 0.
models::HostCosts measure_host_costs(const std::string& directory, const Clock& clock);

}  // namespace martlet::agent
