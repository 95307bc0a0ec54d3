// What the migrations of one agent share.
#pragma once

#include "base/clock.h"
#include "migrate/fault_point.h"
#include "migrate/host.h"
#include "migrate/journal.h"
#include "migrate/tls.h"

namespace martlet::migrate {

// Everything in it outlives its users.
struct Environment {
  Host& host;
  const TlsContext& tls;
  const Journal& journal;
  FaultPoint& faults;
  Clock& clock;
};

}  // namespace martlet::migrate
