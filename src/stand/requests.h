// The client of the load: asks for pages at fixed times, whatever the answers do, on one connection
// and a thread of its own inside the client's network.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "models/design/stand_comparison.h"

namespace martlet::stand {

struct LoadAddress {
  std::string ip;
  uint16_t port = 0;
};

// A connection to the load; tries again until it listens. Errors: kTimeout.
Result<Fd> connect_to_load(const Fd& network, const LoadAddress& address, Nanoseconds timeout);

class Requests {
 public:
  // Begins at once; `per_second` > 0.
  Requests(Fd connection, double per_second, uint64_t pages);
  ~Requests();
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;

  // From now on the load moves.
  void mark_move() { moved_at_ = clock_.now(); }
  // Ends asking and waits for the answers that are due. An error if one was wrong or is missing.
  Result<models::ClientView> finish();

 private:
  struct Answer {
    Nanoseconds due;
    Nanoseconds latency;
  };
  Result<void> ask_and_listen();
  Result<void> receive(uint64_t& answered);

  const SystemClock clock_;
  const Fd connection_;
  const Nanoseconds interval_;
  const uint64_t pages_;
  const Nanoseconds begin_ = clock_.now();
  Nanoseconds moved_at_{};
  std::atomic<bool> over_ = false;
  std::vector<Answer> answers_;  // the thread's until it has ended
  Result<void> outcome_;
  std::thread thread_;
};

// Of latencies in seconds; `moving` from the mark on. Empty: 0.
models::ClientView view_of(std::vector<double> before, std::vector<double> moving);

}  // namespace martlet::stand
