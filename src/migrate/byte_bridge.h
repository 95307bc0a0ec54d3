// Carries the bytes of a program that talks through a socket over a TLS connection.
#pragma once

#include <functional>

#include "base/fd.h"
#include "base/result.h"
#include "migrate/tls.h"

namespace martlet::migrate {

// Copies both ways between the connection and `local`, a connected stream socket, until one side
// ends: the peer or the local program closes, or `stop` (a descriptor, -1: none) becomes readable.
// All of these are success; kTimeout, kCancelled and local failures are not. `on_sent` is told the
// bytes sent so far.
Result<void> bridge(TlsConnection& connection, int local, int stop,
                    const std::function<void(uint64_t)>& on_sent = {});

}  // namespace martlet::migrate
