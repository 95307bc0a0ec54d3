#include "sys/time_namespace.h"

#include <fmt/format.h>
#include <time.h>

#include <sstream>

#include "base/fd.h"

namespace martlet::sys {
namespace {

Nanoseconds clock_now(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::chrono::seconds(now.tv_sec) + Nanoseconds(now.tv_nsec);
}

// /proc shows and takes seconds and a nanosecond part that is never negative.
std::string format_line(std::string_view clock, Nanoseconds offset) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(offset);
  return fmt::format("{} {} {}\n", clock, seconds.count(), (offset - seconds).count());
}

Result<ClockOffsets> own_offsets() {
  return parse_clock_offsets(TRY(read_file("/proc/self/timens_offsets")));
}

}  // namespace

std::string format_clock_offsets(const ClockOffsets& offsets) {
  return format_line("monotonic", offsets.monotonic) + format_line("boottime", offsets.boottime);
}

Result<ClockOffsets> parse_clock_offsets(std::string_view text) {
  ClockOffsets offsets;
  std::istringstream lines{std::string(text)};
  std::string clock;
  int64_t seconds = 0;
  int64_t nanoseconds = 0;
  while (lines >> clock >> seconds >> nanoseconds) {
    const Nanoseconds value = std::chrono::seconds(seconds) + Nanoseconds(nanoseconds);
    if (clock == "monotonic") {
      offsets.monotonic = value;
    } else if (clock == "boottime") {
      offsets.boottime = value;
    } else {
      return fail(Code::kSystem, fmt::format("unknown clock '{}' in timens_offsets", clock));
    }
  }
  if (!lines.eof()) return fail(Code::kSystem, "timens_offsets cannot be read");
  return offsets;
}

Result<ClockOffsets> read_clock_offsets(HostPid process) {
  return parse_clock_offsets(TRY(read_file(fmt::format("/proc/{}/timens_offsets", process.value))));
}

Result<ClockReading> read_clocks(HostPid process) {
  const ClockOffsets theirs = TRY(read_clock_offsets(process));
  const ClockOffsets ours = TRY(own_offsets());
  return ClockReading{clock_now(CLOCK_MONOTONIC) - ours.monotonic + theirs.monotonic,
                      clock_now(CLOCK_BOOTTIME) - ours.boottime + theirs.boottime};
}

Result<ClockOffsets> offsets_to_show(const ClockReading& reading) {
  const ClockOffsets ours = TRY(own_offsets());
  return ClockOffsets{reading.monotonic - (clock_now(CLOCK_MONOTONIC) - ours.monotonic),
                      reading.boottime - (clock_now(CLOCK_BOOTTIME) - ours.boottime)};
}

}  // namespace martlet::sys
