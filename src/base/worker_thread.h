// A thread that does what it is given, one thing after the other, for those who wait for it: for
// what the kernel binds to a thread, and ends with it.
//
// perform() may be called from any thread, from one at a time.
#pragma once

#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

namespace martlet {

class WorkerThread {
 public:
  WorkerThread() : thread_([this](const std::stop_token& stop) { run(stop); }) {}

  template <typename Work>
  std::invoke_result_t<Work&> perform(Work work) {
    // Both have it, for it is not through yet when its outcome is there.
    auto task =
        std::make_shared<std::packaged_task<std::invoke_result_t<Work&>()>>(std::move(work));
    auto outcome = task->get_future();
    {
      std::lock_guard lock(mutex_);
      next_ = [task] { (*task)(); };
    }
    given_.notify_one();
    return outcome.get();
  }

 private:
  void run(const std::stop_token& stop) {
    for (std::unique_lock lock(mutex_);
         given_.wait(lock, stop, [this] { return next_ != nullptr; });)
      std::exchange(next_, nullptr)();
  }

  std::mutex mutex_;
  std::condition_variable_any given_;
  std::function<void()> next_;
  std::jthread thread_;  // last, because it uses the others
};

}  // namespace martlet
