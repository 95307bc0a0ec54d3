// What the migrations of one agent share.
#pragma once

#include "base/clock.h"
#include "migrate/arrivals.h"
#include "migrate/cancellation.h"
#include "migrate/fault_point.h"
#include "migrate/host.h"
#include "migrate/journal.h"
#include "migrate/memory_arrivals.h"
#include "migrate/tls.h"

namespace martlet::migrate {

// Everything in it outlives its users.
struct Environment {
  Host& host;
  const TlsContext& tls;
  const Journal& journal;
  FaultPoint& faults;
  Clock& clock;
  const Cancellation& stopping;      // the agent ends: nothing waits any longer for another host
  Arrivals* arrivals = nullptr;      // null: nobody wants to know
  MemoryArrivals* memory = nullptr;  // null: memory cannot follow a container to this host
};

}  // namespace martlet::migrate
