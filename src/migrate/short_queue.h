// Keeps the queue of a bulk connection short, so that another one over the same link need not wait
// behind it: no more stands in the socket than the link carries in two round trips, which senders
// need to keep it full, and two milliseconds.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace martlet::migrate {

// What a link was seen to do.
struct LinkPace {
  uint64_t bytes_per_second = 0;
  Nanoseconds round_trip{};
};

// Bytes that may stand in the queue of a link like this.
uint64_t queue_limit(LinkPace pace);

class ShortQueue {
 public:
  // A connected TCP socket; it and the clock must outlive this.
  ShortQueue(int socket, const Clock& clock);
  // To be called now and then while bytes are written: follows what the link does. A refusal of
  // the kernel leaves the queue as it is, which costs only time.
  void adapt();

 private:
  void limit(uint64_t bytes) const;

  int socket_;
  const Clock& clock_;
  Nanoseconds since_;
  uint64_t arrived_ = 0;  // bytes, by then
};

}  // namespace martlet::migrate
