// Telling the neighbours of a link where an address lives now.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/net_address.h"

namespace martlet::sys {

// Sends, from `link` of the calling thread's network namespace, a gratuitous ARP (IPv4) or an
// unsolicited neighbour advertisement (IPv6) that binds `address` to `mac`. Bridges on the way
// learn the port, and neighbours correct their caches.
Result<void> announce_address(const std::string& link, const MacAddress& mac,
                              const IpAddress& address);

}  // namespace martlet::sys
