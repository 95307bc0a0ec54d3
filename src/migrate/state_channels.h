// The connections for the state of one migration, as they come in on the threads of the server and
// until the thread that restores takes them.
//
// Any thread. What is never taken is closed by the destructor.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "migrate/tls.h"

namespace martlet::migrate {

class StateChannels {
 public:
  // Refuses a stripe that cannot be, one that has come before, and one that comes too late.
  Result<void> add(uint32_t stripe, std::unique_ptr<TlsConnection> connection);
  // Stripes 0 to count - 1, in their order; waits for all of them, for no longer than `timeout`
  // together. To be called once.
  Result<std::vector<std::unique_ptr<TlsConnection>>> take(uint32_t count,
                                                           std::chrono::milliseconds timeout);

 private:
  std::mutex mutex_;  // guards what follows
  std::condition_variable added_;
  std::map<uint32_t, std::unique_ptr<TlsConnection>> stripes_;
  bool taken_ = false;
};

}  // namespace martlet::migrate
