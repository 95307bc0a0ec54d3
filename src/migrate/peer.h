// The connections of one migration from the source to the destination.
#pragma once

#include <optional>
#include <string>

#include "migrate/host.h"
#include "migrate/message_channel.h"
#include "migrate/protocol.pb.h"
#include "migrate/tls.h"

namespace martlet::migrate {

// How long a step of the other side may take before it counts as lost. A host that vanishes is
// noticed much earlier, by the connection itself.
inline constexpr std::chrono::milliseconds kStageTimeout = std::chrono::minutes(10);

class Peer {
 public:
  // `tls` and `host` (which knows where others are) outlive it. `name` is as in the peer's
  // certificate.
  Peer(const TlsContext& tls, Host& host, std::string name, std::string migration)
      : tls_(tls), host_(host), name_(std::move(name)), migration_(std::move(migration)) {}

  // What further connections keep to, those for held packets apart. It is borrowed.
  void set_rate_limiter(RateLimiter& limiter) { limiter_ = &limiter; }

  const std::string& name() const { return name_; }
  const std::string& migration() const { return migration_; }

  // A connection on which nothing was said yet. The first call finds out where the peer is.
  Result<MessageChannel> open_control(const WaitLimits& limits);
  // A further connection of a migration that the destination knows, for anything but its
  // state.
  Result<std::unique_ptr<TlsConnection>> open_channel(protocol::Channel::Kind kind,
                                                      const WaitLimits& limits);
  // What carries the state: one connection, or so many behind a StripedWriter.
  Result<std::unique_ptr<DrainableWriter>> open_state(uint32_t streams, const WaitLimits& limits);
  // Asks until it is told how the migration ended, however long that takes: the peer may have to be
  // started again first, and listen somewhere else then. Never PENDING. The only error is
  // kCancelled, when the agent stops.
  Result<protocol::Resolution::Outcome> resolve(const Cancellation& stopping);
  // Asks once.
  Result<protocol::Resolution::Outcome> query(const WaitLimits& limits);
  // Lets the peer forget the migration; it has done so when this returns.
  Result<void> forget(const WaitLimits& limits);

 private:
  Result<std::unique_ptr<TlsConnection>> open(protocol::Channel request, const WaitLimits& limits);
  Result<MessageChannel> ask_outcome(const WaitLimits& limits);

  const TlsContext& tls_;
  Host& host_;
  std::string name_;
  std::string migration_;
  RateLimiter* limiter_ = nullptr;
  std::optional<Endpoint> endpoint_;
};

// A Hello of this version, without a purpose yet.
protocol::Message make_hello();

}  // namespace martlet::migrate
