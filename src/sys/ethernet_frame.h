// Ethernet frames as raw bytes.
//
// A frame carries the kernel's description of its offloads (struct virtio_net_hdr) in front,
// because a frame of a local sender may have no finished checksum and be larger than the link's
// MTU. What is received from one link can be sent on another as it is, also on another host.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "sys/net_address.h"

namespace martlet::sys {

using Frame = std::vector<std::byte>;

// sizeof(struct virtio_net_hdr); <linux/virtio_net.h> is not valid C++. All zero: nothing is left
// to do.
inline constexpr size_t kOffloadHeaderBytes = 10;
inline constexpr size_t kEthernetHeaderBytes = 14;
// The largest frame that segmentation offload makes.
inline constexpr size_t kMaxFrameBytes = kOffloadHeaderBytes + kEthernetHeaderBytes + 65536;

// Whether it can be a frame at all. The two functions below may be called for nothing else.
bool is_frame(std::span<const std::byte> frame);
MacAddress source_of(std::span<const std::byte> frame);
// Broadcast or multicast.
bool is_to_group(std::span<const std::byte> frame);
// The first segment of a TCP connection.
bool is_connection_request(std::span<const std::byte> frame);

// Tells everybody on the link that `address` is behind `mac`: a gratuitous ARP request (IPv4) or an
// unsolicited neighbour advertisement (IPv6). Bridges on its way learn the port, and neighbours
// correct their caches.
Frame make_announcement(const MacAddress& mac, const IpAddress& address);

}  // namespace martlet::sys
