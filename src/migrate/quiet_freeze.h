// Freezing a container at a moment when every connection that was opened to it is accepted.
//
// A connection that no process has yet cannot be captured: the kernel lets nobody choose the
// numbers of a connection that it puts into the queue of a listener (docs/migration.md,
// "Connections in setup"). So new connections wait outside for a moment, while the container
// accepts those it has.
#pragma once

#include <memory>

#include "base/clock.h"
#include "migrate/cancellation.h"
#include "migrate/host.h"
#include "migrate/packet_hold.h"

namespace martlet::migrate {

struct QuietFreeze {
  std::unique_ptr<FrozenContainer> container;
  Nanoseconds since{};  // when the first task stopped, by `clock`
};

// On success the container is frozen, its network is held, and the packets for it wait in `hold`
// (null: they are lost). Otherwise it runs as before; kUnsupported names the listener whose
// connections nobody accepts.
Result<QuietFreeze> freeze_between_connections(SourceContainer& container, PacketHold* hold,
                                               Clock& clock, const Cancellation& cancellation);

}  // namespace martlet::migrate
