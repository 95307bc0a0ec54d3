// What a container makes of its network namespaces: of its own, where its declaration gives it the
// right to, and of those that its processes have made: devices, addresses, routes, settings, packet
// filter. What its declaration makes is the environment's and there before a restore; an image says
// what there is in all, and a restore makes the difference, which ends with the namespace.
#pragma once

#include <optional>
#include <span>

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

// The settings of a fresh namespace. Takes long.
Result<NetworkSettings> read_fresh_settings();

// Looks at one network of a group.
class NetworkSurvey {
 public:
  // At the container's own. Everything that takes long is done here, while it still runs.
  static Result<NetworkSurvey> prepare(HostPid root, const GivenNetwork& given);
  // At another one. `fresh` is borrowed.
  static Result<NetworkSurvey> of_other(const Networks& networks, uint32_t number,
                                        const NetworkSettings& fresh);

  // Of the frozen container. Judges each object that cannot be made again. `described` are the
  // numbers of all networks that the image tells of.
  Result<image::Network> describe(CaptureContext& context, std::span<const uint32_t> described);

 private:
  // Of the calling thread's namespace.
  static Result<NetworkSurvey> open(uint32_t number, GivenNetwork given);
  NetworkSurvey(uint32_t number, GivenNetwork given, sys::NetlinkChannel route)
      : number_(number), given_(std::move(given)), route_(std::move(route)) {}
  Result<void> describe_inside(CaptureContext& context, std::span<const uint32_t> described,
                               image::Network& network);
  Result<void> describe_filter(CaptureContext& context, image::Network& network);

  uint32_t number_;
  GivenNetwork given_;
  sys::NetlinkChannel route_;
  std::optional<sys::NetlinkChannel> filter_;     // none: the kernel has no netfilter
  std::optional<sys::NetlinkChannel> transform_;  // none: the kernel has no IPsec
  std::optional<NetworkSettings> own_fresh_;
  const NetworkSettings* fresh_ = nullptr;  // not its own
};

// Makes the networks of a sandbox, in which no socket of the container is yet, the same.
Result<void> apply_networks(const Networks& networks, const WantedNetworks& wanted);

}  // namespace martlet::engine
