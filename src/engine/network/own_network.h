// What a container makes of its network namespace, where its declaration gives it the right to:
// devices, addresses, routes, settings, packet filter. What its declaration makes is the
// environment's and there before a restore; an image says what there is in all, and a restore makes
// the difference, which ends with the namespace.
#pragma once

#include <optional>

#include "base/result.h"
#include "engine/context.h"
#include "engine/network/devices.h"
#include "engine/network/settings.h"
#include "image/network.pb.h"
#include "sys/netlink_channel.h"

namespace martlet::engine {

// What a container that may change its network was given of it.
struct GivenNetwork {
  GivenLink link;
  bool writable_settings = false;  // it may write to /proc/sys/net
};

// Looks at the network of a container. Everything that takes long is done when it is made, while
// the container still runs.
class NetworkSurvey {
 public:
  static Result<NetworkSurvey> prepare(HostPid root, const GivenNetwork& given);

  // Of the frozen container. Judges each object that cannot be made again.
  Result<image::Network> describe(CaptureContext& context);

 private:
  NetworkSurvey(GivenNetwork given, sys::NetlinkChannel route)
      : given_(std::move(given)), route_(std::move(route)) {}
  Result<void> describe_filter(CaptureContext& context, image::Network& network);

  GivenNetwork given_;
  sys::NetlinkChannel route_;
  std::optional<sys::NetlinkChannel> filter_;     // none: the kernel has no netfilter
  std::optional<sys::NetlinkChannel> transform_;  // none: the kernel has no IPsec
  NetworkSettings fresh_;
};

// Makes the network of a sandbox, in which no socket of the container is yet, the same.
Result<void> apply_own_network(const ApplyContext& context, const image::Network& network);

}  // namespace martlet::engine
