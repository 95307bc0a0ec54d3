// timerfd: clock, time until the next expiration, interval, and expirations not read yet.
//
// A restored timer goes on with the time that remained when the group was frozen; one that was set
// to an absolute time of a real-time clock still expires at that time.
#pragma once

#include "engine/files/file_kind.h"

namespace martlet::engine {

const FileKind& timer_kind();

}  // namespace martlet::engine
