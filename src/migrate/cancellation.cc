#include "migrate/cancellation.h"

#include <poll.h>
#include <sys/eventfd.h>

namespace martlet::migrate {

Result<Cancellation> Cancellation::create() {
  Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return fail_errno("eventfd");
  return Cancellation(std::move(event));
}

void Cancellation::cancel() {
  cancelled_->store(true, std::memory_order_release);
  // Fails only when the counter would overflow, and then it is set already.
  (void)::eventfd_write(event_.get(), 1);
}

Result<void> Cancellation::check() const {
  if (cancelled()) return fail(Code::kCancelled, "cancelled");
  return {};
}

Result<void> Cancellation::sleep(std::chrono::milliseconds duration) const {
  pollfd entry{.fd = event_.get(), .events = POLLIN, .revents = 0};
  ::poll(&entry, 1, static_cast<int>(duration.count()));
  return check();
}

}  // namespace martlet::migrate
