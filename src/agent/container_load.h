// What a running container is like for someone who has to move it: its tasks, its memory and how
// fast it writes it, its files and how fast they change.
#pragma once

#include <vector>

#include "agent/container.h"
#include "base/clock.h"
#include "base/result.h"
#include "models/migration.h"

namespace martlet::agent {

// How long the container is watched. The dirty rate is needed by every mode but stop.
enum class Watch { kGlance, kShort, kLong };  // 10 ms, 0.64 s, 2.56 s

struct SampledLoad {
  models::ContainerLoad load;
  std::vector<double> looked_at;  // seconds: the times at which the curve was observed
};

// File changes are found by one walk over the writable layer after the watch (ctime) and by the
// bytes that /proc/PID/io counts, before and after; nothing is read from the files.
Result<SampledLoad> sample_load(const Container& container, Watch watch, Clock& clock);

}  // namespace martlet::agent
