#include "cli/interrupt.h"

#include <sys/eventfd.h>

#include <atomic>
#include <cerrno>

#include "base/check.h"

namespace martlet::cli {
namespace {

constexpr eventfd_t kInterrupted = 1;
constexpr eventfd_t kOver = 1u << 16;

std::atomic<int> event_of_handler = -1;  // a signal handler has no other way to its object

void on_signal(int) {
  const int before = errno;
  (void)::eventfd_write(event_of_handler, kInterrupted);
  errno = before;
}

}  // namespace

InterruptHandler::InterruptHandler(std::function<void()> on_interrupt)
    : on_interrupt_(std::move(on_interrupt)), event_(::eventfd(0, EFD_CLOEXEC)) {
  CHECK(event_.valid());
  event_of_handler = event_.get();
  thread_ = std::thread([this] { wait(); });
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  ::sigaction(SIGINT, &action, &before_);
}

InterruptHandler::~InterruptHandler() {
  ::sigaction(SIGINT, &before_, nullptr);
  (void)::eventfd_write(event_.get(), kOver);
  thread_.join();
}

void InterruptHandler::wait() {
  for (eventfd_t seen = 0; seen < kOver;) {
    if (::eventfd_read(event_.get(), &seen) != 0) continue;
    if (seen < kOver) on_interrupt_();
  }
}

}  // namespace martlet::cli
