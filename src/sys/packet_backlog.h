// The kernel's queues of packets that have been sent from one link to another and not been
// received.
//
// A packet between two network namespaces, or through a bridge, waits for its processor. Normally
// that is over when the sender's call returns; on a busy processor it takes until the scheduler
// lets the kernel's thread run.
#pragma once

#include "base/result.h"

namespace martlet::sys {

// Returns when everything that was on its way when it was called has arrived, on every processor
// this thread may use, over up to `hops` links of this host. Errors: kTimeout; any if the loopback
// link of this namespace is down.
Result<void> drain_packet_backlog(int hops);

}  // namespace martlet::sys
