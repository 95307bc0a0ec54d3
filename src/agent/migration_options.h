// What a caller asks of a migration, checked.
#pragma once

#include "agent/api.pb.h"
#include "base/result.h"
#include "migrate/options.h"

namespace martlet::agent {

// kInvalidArgument for a value that cannot be meant, and for one that has no effect in the mode.
Result<migrate::Options> to_options(const MigrationOptions& options);
// kInvalidArgument for a number that is none.
Result<image::Codec> to_codec(Compression compression);
// Every option is set, so that a reader sees what is in force.
MigrationOptions to_message(const migrate::Options& options);
// The bounds of what may also be changed under way.
Result<void> check_bandwidth(uint64_t bytes_per_second);
Result<void> check_max_pause(Nanoseconds max_pause);

}  // namespace martlet::agent
