// Ctrl-C as a request instead of an end.
#pragma once

#include <csignal>
#include <functional>
#include <thread>

#include "base/fd.h"

namespace martlet::cli {

// While it exists, the first SIGINT makes it call `on_interrupt`, on a thread of its own, and the
// second ends the program as usual. There is at most one at a time.
class InterruptHandler {
 public:
  explicit InterruptHandler(std::function<void()> on_interrupt);
  ~InterruptHandler();
  InterruptHandler(const InterruptHandler&) = delete;
  InterruptHandler& operator=(const InterruptHandler&) = delete;

 private:
  void wait();

  const std::function<void()> on_interrupt_;
  Fd event_;
  struct sigaction before_{};
  std::thread thread_;
};

}  // namespace martlet::cli
