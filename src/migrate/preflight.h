// The pre-flight check: the source says what a container needs, the destination what it lacks.
#pragma once

#include "migrate/cancellation.h"
#include "migrate/environment.h"
#include "migrate/protocol.pb.h"

namespace martlet::migrate {

// What the source begins a migration with.
Result<protocol::Offer> make_offer(const Environment& environment, const SourceContainer& container,
                                   const std::string& name, const std::string& migration);

// What a migration would move at most.
struct Feasibility {
  uint64_t memory_bytes = 0;
  uint64_t file_bytes = 0;
};

// Asks the destination without anything being changed or reserved on either host. kUnsupported
// names everything that is missing.
Result<Feasibility> check_migration(const Environment& environment, const std::string& container,
                                    const std::string& destination,
                                    const Cancellation& cancellation);

// kUnsupported with all that the destination named; success if that is nothing.
Result<void> check_verdict(const protocol::Verdict& verdict, const std::string& destination);

}  // namespace martlet::migrate
