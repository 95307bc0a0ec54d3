// The connections of one migration from the source to the destination.
#pragma once

#include <string>

#include "base/clock.h"
#include "migrate/message_channel.h"
#include "migrate/protocol.pb.h"
#include "migrate/tls.h"

namespace martlet::migrate {

struct Destination {
  std::string name;  // as in its certificate
  Endpoint endpoint;
};

// How long a step of the other side may take before it counts as lost. A host that vanishes is
// noticed much earlier, by the connection itself.
inline constexpr std::chrono::milliseconds kStageTimeout = std::chrono::minutes(10);

class Peer {
 public:
  // `tls` and `destination` outlive it.
  Peer(const TlsContext& tls, const Destination& destination, std::string migration)
      : tls_(tls), destination_(destination), migration_(std::move(migration)) {}

  const std::string& migration() const { return migration_; }

  // A connection on which nothing was said yet.
  Result<MessageChannel> open_control(const WaitLimits& limits) const;
  // A further connection of a migration that the destination knows.
  Result<std::unique_ptr<TlsConnection>> open_channel(protocol::Channel::Kind kind,
                                                      const WaitLimits& limits) const;
  // Asks once how the migration ended.
  Result<protocol::Resolution::Outcome> query(const WaitLimits& limits) const;
  // Asks until there is an answer, however long that takes. Never PENDING.
  protocol::Resolution::Outcome resolve(Clock& clock) const;
  // Tells that the outcome is noted here.
  Result<void> forget(const WaitLimits& limits) const;

 private:
  const TlsContext& tls_;
  const Destination& destination_;
  std::string migration_;
};

// A Hello of this version, without a purpose yet.
protocol::Message make_hello();

}  // namespace martlet::migrate
