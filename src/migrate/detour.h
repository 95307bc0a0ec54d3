// A port of the host's bridge that stands in for a container's own: it receives the frames for the
// container and sends frames in its name.
//
// The port and everything the bridge knows of it vanish with the object, also when the process
// dies, so nothing has to be cleaned up. One thread at a time.
#pragma once

#include <memory>

#include "base/result.h"
#include "migrate/host.h"
#include "sys/netlink.h"
#include "sys/tap.h"

namespace martlet::migrate {

class Detour {
 public:
  // The new port receives nothing yet. Each side has a name of its own for it, because a host may
  // be the source of a container's next move while its last one is being cleared away.
  enum class Side : char { kSource = 's', kDestination = 'd' };
  static Result<std::unique_ptr<Detour>> open(const NetworkPort& port, Side side);

  // From here on frames for the container come here, wherever the bridge hears the container. The
  // kernel keeps them until they are received (16384 frames). kGroups: those to groups too.
  using Flooding = sys::Netlink::Flooding;
  Result<void> begin(Flooding flooding);
  // They go to the container's own port again, which must be attached.
  Result<void> end();
  // The container is elsewhere: the bridge looks for it. What came before can still be received.
  Result<void> release();

  // The next frame; empty if there is none right now.
  Result<sys::Frame> receive() { return tap_.receive(); }
  Result<void> send(std::span<const std::byte> frame) { return tap_.send(frame); }
  int fd() const { return tap_.fd(); }

 private:
  Detour(NetworkPort port, sys::Netlink netlink, sys::Tap tap)
      : port_(std::move(port)), netlink_(std::move(netlink)), tap_(std::move(tap)) {}
  Result<void> set_up();

  NetworkPort port_;
  sys::Netlink netlink_;
  sys::Tap tap_;
};

}  // namespace martlet::migrate
