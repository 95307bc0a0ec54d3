// How fast the link to another host is right now: a burst of at most 80 ms over a connection like
// those that a migration uses, so that encryption and the other traffic are in the result.
//
// The destination measures what arrives, and counts only the last two thirds of the time: what
// comes first shows the start of a TCP connection and the buffers of the way.
#pragma once

#include <string>

#include "migrate/environment.h"
#include "migrate/message_channel.h"

namespace martlet::migrate {

struct LinkMeasurement {
  double bytes_per_second = 0;
  double round_trip = 0;  // seconds, of a message
  double connect = 0;     // seconds to open the connection
};

// Source. Errors: those of the connection.
Result<LinkMeasurement> probe_link(const Environment& environment, const std::string& host);

// Destination: answers one probe whose Hello was read.
Result<void> serve_probe(MessageChannel& channel, const Clock& clock);

}  // namespace martlet::migrate
