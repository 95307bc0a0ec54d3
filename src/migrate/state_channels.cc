#include "migrate/state_channels.h"

#include "migrate/options.h"
#include "migrate/stripe_format.h"

namespace martlet::migrate {

Result<void> StateChannels::add(uint32_t stripe, std::unique_ptr<TlsConnection> connection) {
  if (stripe >= kMaxStreams)
    return fail(Code::kBadImage, "there is no stripe " + std::to_string(stripe) + " of the state");
  const std::lock_guard lock(mutex_);
  if (taken_) return fail(Code::kCancelled, "a connection for the state came too late");
  if (!stripes_.emplace(stripe, std::move(connection)).second)
    return fail(Code::kAlreadyExists,
                "stripe " + std::to_string(stripe) + " of the state came twice");
  added_.notify_all();
  return {};
}

Result<std::vector<std::unique_ptr<TlsConnection>>> StateChannels::take(
    uint32_t count, std::chrono::milliseconds timeout) {
  if (count < 1 || count > kMaxStreams)
    return fail(Code::kBadImage, "the source wants to send the state over " +
                                     std::to_string(count) + " connections");
  std::unique_lock lock(mutex_);
  added_.wait_for(lock, timeout, [&] { return stripes_.size() >= count; });
  taken_ = true;
  std::vector<std::unique_ptr<TlsConnection>> connections;
  for (uint32_t stripe = 0; stripe < count; ++stripe) {
    if (!stripes_.contains(stripe))
      return fail(Code::kTimeout, stripe_name(stripe, count) + " did not come");
    connections.push_back(std::move(stripes_[stripe]));
  }
  return connections;
}

}  // namespace martlet::migrate
