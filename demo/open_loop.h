// Drives a set of connections in an open loop: requests are due at fixed times whether or not the
// server answers, and latency counts from the time a request was due. A server that stands still
// for 100 ms therefore shows in every request of these 100 ms.
#pragma once

#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "demo/connection.h"
#include "demo/report.h"

namespace martlet::demo {

class OpenLoop {
 public:
  OpenLoop(std::vector<Connection> connections, double requests_per_second, const Clock& clock);

  // Runs until `stop` becomes readable or `limit` has passed.
  Result<void> run(const Fd& stop, Nanoseconds limit, Report& report);
  // Reads back every key and waits for the replies; what has not come after `limit` is lost.
  Result<void> drain(Nanoseconds limit, Report& report);

 private:
  void issue_due(Nanoseconds now, Report& report);
  // Waits for events until `until`; true if `stop` was among them.
  Result<bool> poll_once(const Fd* stop, Nanoseconds until, Report& report);
  size_t outstanding() const;

  std::vector<Connection> connections_;
  Nanoseconds interval_;  // between two requests
  const Clock& clock_;
  Nanoseconds next_due_{};
  size_t next_connection_ = 0;
};

}  // namespace martlet::demo
