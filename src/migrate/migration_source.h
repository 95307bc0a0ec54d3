// The source's side of one migration: the stages of stages.h from the pre-flight check to the
// removal of what stays behind.
//
// run() blocks on the calling thread, which freezes the container and is therefore its tracer.
// Until the destination has the container, every failure and a cancel put everything back: it goes
// on here. Between sending Commit and the answer it stays frozen, however long that takes, because
// either host may own it (docs/migration.md).
#pragma once

#include <string>

#include "migrate/cancellation.h"
#include "migrate/environment.h"
#include "migrate/options.h"
#include "migrate/peer.h"
#include "migrate/stages.h"

namespace martlet::migrate {

// `destination` is the name of a host. `tuning` may be changed by others meanwhile. Errors: those
// of the stages, with the stage's name; kCancelled after a cancel.
Result<MigrationReport> migrate_container(const Environment& environment,
                                          const std::string& container,
                                          const std::string& destination, const Options& options,
                                          Tuning& tuning, const Cancellation& cancellation,
                                          Observer& observer);

}  // namespace martlet::migrate
