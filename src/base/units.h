// Durations and rates as people write them on a command line: "10ms", "1.5s", "200Mbit/s",
// "50MB/s".
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace martlet {

// A number, then ns, us, ms, s, m or h. "0" needs no unit.
Result<Nanoseconds> parse_duration(std::string_view text);

// Bytes per second of a number and a unit: bits ("kbit", "Mbit", "Gbit") or bytes ("B", "kB", "MB",
// "GB" in powers of 1000, "KiB", "MiB", "GiB" of 1024), with or without "/s". "0" needs no unit.
Result<uint64_t> parse_rate(std::string_view text);

}  // namespace martlet
