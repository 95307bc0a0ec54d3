// A request to stop that every blocking wait of one migration observes.
//
// cancel() may be called from any thread, any number of times; it is never taken back.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::migrate {

class Cancellation {
 public:
  static Result<Cancellation> create();

  void cancel();
  bool cancelled() const { return cancelled_->load(std::memory_order_acquire); }
  // Readable once cancelled; for poll(2).
  int fd() const { return event_.get(); }
  // kCancelled once cancelled.
  Result<void> check() const;
  // Lets so much time pass, or ends early with kCancelled.
  Result<void> sleep(std::chrono::milliseconds duration) const;

 private:
  explicit Cancellation(Fd event)
      : event_(std::move(event)), cancelled_(std::make_unique<std::atomic<bool>>(false)) {}

  Fd event_;
  std::unique_ptr<std::atomic<bool>> cancelled_;  // asked for each record: no system call
};

}  // namespace martlet::migrate
