// The source's part in memory that follows a container to the host where it runs.
//
// The container's tasks stand frozen here until the destination has every page of theirs. Wanted
// pages are answered at once over a connection of their own, then their neighbours; everything else
// is pushed over another one. When a connection ends both are opened again, for as long as it
// takes, and the destination says anew what is missing.
#pragma once

#include <functional>

#include "migrate/environment.h"
#include "migrate/options.h"
#include "migrate/peer.h"
#include "migrate/push_plan.h"

namespace martlet::migrate {

struct LateMemoryProgress {
  uint64_t sent = 0;    // bytes of pages, zeros left out
  uint64_t left = 0;    // bytes that are not on their way yet
  uint64_t wanted = 0;  // pages that a task waited for
};

struct LateMemoryOptions {
  std::string destination;
  std::string migration;
  Nanoseconds push_after{};  // from now
  Compression compression = Compression::kNone;
  RateLimiter* limiter = nullptr;  // borrowed
  // Called a few times a second on the thread that serves.
  std::function<void(const LateMemoryProgress&)> on_progress{};
};

// Serves the memory of the processes in the PID namespace of `init`, which stand frozen, until the
// destination needs nothing any more. The only error is kCancelled, when the agent stops.
Result<LateMemoryProgress> serve_late_memory(const Environment& environment, HostPid init,
                                             const LateMemoryOptions& options);

// The processes are gone: tells the destination, however long that takes. kCancelled as above.
Result<void> report_memory_lost(const Environment& environment, const std::string& destination,
                                const std::string& migration);

}  // namespace martlet::migrate
