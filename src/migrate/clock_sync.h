// Carrying a container's clocks to a host whose clocks show something else.
//
// The source asks the destination what its clocks show, several times, and keeps the answer with
// the shortest round trip: the destination's clocks stood somewhere between sending and receiving.
// The offsets are chosen for the earliest moment, so the container's clocks may step forward by at
// most that round trip, and never back.
#pragma once

#include "base/ids.h"
#include "base/result.h"
#include "migrate/message_channel.h"
#include "sys/time_namespace.h"

namespace martlet::migrate {

struct ClockBridge {
  sys::ClockOffsets container;  // of the container's clocks from the destination's
  Nanoseconds
      destination_ahead;  // the destination's CLOCK_MONOTONIC minus ours, within uncertainty
  Nanoseconds uncertainty;
};

// The clocks of this machine (of the initial time namespace's view of the caller).
sys::ClockReading read_own_clocks();

// Source: asks. `container` is any process of the container.
Result<ClockBridge> measure_clocks(MessageChannel& channel, HostPid container);

// Destination: answers one ClockQuery.
Result<void> answer_clock_query(MessageChannel& channel);

}  // namespace martlet::migrate
