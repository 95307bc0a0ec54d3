#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace martlet {
namespace {

constexpr size_t kMaxThreads = 8;

class ParallelRun {
 public:
  ParallelRun(size_t count, const std::function<Result<void>(size_t)>& work)
      : count_(count), work_(work) {}

  Result<void> run() {
    const size_t processors = std::max<size_t>(std::thread::hardware_concurrency(), 1);
    {
      std::vector<std::jthread> helpers;
      for (size_t i = 1; i < std::min({count_, processors, kMaxThreads}); ++i)
        helpers.emplace_back([this] { take_turns(); });
      take_turns();
    }
    if (error_) return std::unexpected(std::move(*error_));
    return {};
  }

 private:
  // Indices are given out in order, so all those below one that failed are taken and get done.
  void take_turns() {
    for (size_t i = next_++; i < count_; i = next_++)
      if (auto done = work_(i); !done) note_failure(i, std::move(done.error()));
  }

  void note_failure(size_t index, Error error) {
    const std::scoped_lock lock(mutex_);
    next_ = count_;
    if (error_ && failed_ < index) return;
    failed_ = index;
    error_ = std::move(error);
  }

  const size_t count_;
  const std::function<Result<void>(size_t)>& work_;
  std::atomic<size_t> next_ = 0;
  std::mutex mutex_;  // guards what follows
  size_t failed_ = 0;
  std::optional<Error> error_;
};

}  // namespace

Result<void> for_each_in_parallel(size_t count, const std::function<Result<void>(size_t)>& work) {
  return ParallelRun(count, work).run();
}

}  // namespace martlet
