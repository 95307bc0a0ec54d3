// Clocks of a time namespace, which adds an offset to CLOCK_MONOTONIC and CLOCK_BOOTTIME.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::sys {

// What a time namespace adds to the clocks of the machine (of the initial time namespace).
struct ClockOffsets {
  Nanoseconds monotonic{};
  Nanoseconds boottime{};
  bool operator==(const ClockOffsets&) const = default;
};

// What the two clocks show at one moment.
struct ClockReading {
  Nanoseconds monotonic{};
  Nanoseconds boottime{};
};

// The offsets of the namespace that the children of `process` are in.
Result<ClockOffsets> read_clock_offsets(HostPid process);

// What the clocks show now inside the namespace of `process`.
Result<ClockReading> read_clocks(HostPid process);

// The offsets of a namespace on this machine whose clocks show `reading` now.
Result<ClockOffsets> offsets_to_show(const ClockReading& reading);

// The text for /proc/self/timens_offsets.
std::string format_clock_offsets(const ClockOffsets& offsets);
Result<ClockOffsets> parse_clock_offsets(std::string_view text);

}  // namespace martlet::sys
