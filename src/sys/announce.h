// Telling the neighbours of a link where an address lives now.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/net_address.h"

namespace martlet::sys {

// Sends make_announcement() from `link` of the calling thread's network namespace. Takes some
// milliseconds, because the kernel waits for all processors when a packet socket is closed.
Result<void> announce_address(const std::string& link, const MacAddress& mac,
                              const IpAddress& address);

}  // namespace martlet::sys
